"""What all algorithms share: words, parameters with help, and how the command and the server tell of themselves."""

from __future__ import annotations

from collections.abc import Sequence

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterNumber,
    QgsProcessingParameterString,
)

from ..command_line import CommandCancelledError, CommandError, Told, program, run
from ..settings import Settings


class Algorithm(QgsProcessingAlgorithm):
    """One algorithm. ``NAME`` is its id, ``TITLE`` stands in the toolbox, ``HELP`` beside its parameters."""

    NAME = TITLE = HELP = ""

    def name(self) -> str:
        return self.NAME

    def displayName(self) -> str:
        return self.TITLE

    def shortHelpString(self) -> str:
        return self.HELP

    def createInstance(self) -> Algorithm:
        return type(self)()

    def explained(self, parameter: QgsProcessingParameterDefinition, words: str, *, advanced: bool = False) -> None:
        """Add a parameter with its help."""
        parameter.setHelp(words)
        if advanced:
            parameter.setFlags(parameter.flags() | QgsProcessingParameterDefinition.FlagAdvanced)
        self.addParameter(parameter)

    def add_run(self) -> None:
        """Which weights."""
        self.explained(
            QgsProcessingParameterString("RUN", "Weights: a name, or a run folder", optional=True),
            "orthoforge-material or orthoforge-s, which come with Orthoforge, or the folder of a run of your own. With a server, "
            "one of its models. Left empty, orthoforge-material or the server's first model.",
        )

    def add_seed(self) -> None:
        """Another seed, another image."""
        seed = QgsProcessingParameterNumber("SEED", "Seed", QgsProcessingParameterNumber.Integer, 0, minValue=0)
        self.explained(seed, "Of all that is random. The same seed gives the same result, another seed another one (--seed).")

    def add_device(self) -> None:
        """Which processor or GPU."""
        self.explained(
            QgsProcessingParameterString("DEVICE", "Device", "auto"),
            "auto is a GPU where there is one, else the processor; or cpu, cuda, cuda:0,cuda:1 (--device). A server has its own.",
            advanced=True,
        )

    def text(self, parameters, name: str, context) -> str:
        """A parameter of text, without spaces around it."""
        return self.parameterAsString(parameters, name, context).strip()

    def stated(self, parameters, name: str) -> bool:
        """Whether an optional parameter was given."""
        return parameters.get(name) not in (None, "")


def run_command(words: Sequence[str], feedback: QgsProcessingFeedback) -> list[str]:
    """Run ``orthoforge`` with these words; lines of its output. ``QgsProcessingException`` with its own message when it fails."""
    told = Told(feedback.pushInfo, feedback.pushWarning, lambda share: feedback.setProgress(100 * share), feedback.isCanceled)
    try:
        command = [*program(Settings.now().command), *words]
        feedback.pushCommandInfo(" ".join(command))
        return run(command, told)
    except CommandCancelledError:
        return []
    except (CommandError, OSError, ValueError) as error:
        raise QgsProcessingException(str(error)) from error


def options(**values: object) -> list[str]:
    """Options of the command: ``least_agreement=0.5`` is ``--least-agreement 0.5``. ``None``, nothing and false are left out."""
    words: list[str] = []
    for name, value in values.items():
        if value is None or value is False or value == "":
            continue
        words.append(f"--{name.replace('_', '-')}")
        if isinstance(value, (list, tuple)):
            words += [number(part) for part in value]
        elif value is not True:
            words.append(number(value))
    return words


def number(value: object) -> str:
    """As text that no parser takes for an option: without an exponent."""
    return f"{value:.9f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
