"""Commands about the machine: doctor."""


def doctor() -> int:
    """Show what is installed here, what it computes on, and what is missing. Exit 1 on a fault, which says what to do.

    It looks at this machine alone and connects to nothing.
    """
    from orthoforge.doctor import diagnose, diagnosis

    findings = diagnose()
    print(diagnosis(findings))
    return int(any(finding.is_fault for finding in findings))
