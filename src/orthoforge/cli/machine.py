"""Commands about the machine: doctor."""


def doctor() -> int:
    """Show what is installed, which device computes, and what is missing. The exit code is 1 when there is a fault; each fault says
    what to do.

    It looks at this machine only and connects to nothing.
    """
    from orthoforge.doctor import diagnose, diagnosis

    findings = diagnose()
    print(diagnosis(findings))
    return int(any(finding.is_fault for finding in findings))
