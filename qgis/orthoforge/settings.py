"""What a user sets once: Settings > Options > Processing > Providers > Orthoforge."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from processing.core.ProcessingConfig import ProcessingConfig, Setting
from qgis.core import QgsNetworkAccessManager, QgsProcessingException

from .server import Server

GROUP = "Orthoforge"
COMMAND, SERVER, KEY_FILE = "ORTHOFORGE_COMMAND", "ORTHOFORGE_SERVER", "ORTHOFORGE_KEY_FILE"
_SETTINGS = {
    COMMAND: ("Command: orthoforge, or the path of it", "orthoforge", Setting.STRING),
    SERVER: ("Server that makes images and masks in place of the command, such as http://127.0.0.1:8000", "", Setting.STRING),
    KEY_FILE: ("File whose first line is the server's API key", "", Setting.FILE),
}
_HEADER = "X-API-Key"


@dataclass(frozen=True)
class Settings:
    """As they are now."""

    command: str
    server: str
    key_file: str

    @classmethod
    def now(cls) -> Settings:
        """Those that are set."""
        return cls(*(str(ProcessingConfig.getSetting(name) or "").strip() for name in _SETTINGS))

    def headers(self) -> dict[str, str]:
        """What goes along with each request to the server. ``QgsProcessingException`` where the key cannot be read."""
        if not self.key_file:
            return {}
        try:
            lines = Path(self.key_file).read_text("utf-8").strip().splitlines()
        except (OSError, ValueError) as error:
            raise QgsProcessingException(f"{self.key_file}: the API key cannot be read ({error}).") from error
        if not lines:
            raise QgsProcessingException(f"{self.key_file}: holds no API key; it is the first line.")
        return {_HEADER: lines[0].strip()}

    def asked(self, url: str = "") -> Server:
        """The server, or the one at ``url``. The key goes to the server of the settings alone."""
        own = not url or url.rstrip("/") == self.server.rstrip("/")
        return Server(url or self.server, self.headers() if own else {})


def add(icon) -> None:
    """Show them among the options of Processing."""
    ProcessingConfig.settingIcons[GROUP] = icon
    for name, (words, default, kind) in _SETTINGS.items():
        ProcessingConfig.addSetting(Setting(GROUP, name, words, default, valuetype=kind))
    ProcessingConfig.readSettings()


def remove() -> None:
    """Show them no longer."""
    for name in _SETTINGS:
        ProcessingConfig.removeSetting(name)


def send_key_along() -> str:
    """Send the key along with what QGIS itself asks of the server, which are tiles: neither layers nor projects then hold it.

    Returns the name by which ``QgsNetworkAccessManager`` forgets it again.
    """

    def with_key(request) -> None:
        settings = Settings.now()
        if settings.server and request.url().toString().startswith(settings.server.rstrip("/") + "/"):
            try:
                headers = settings.headers()
            except QgsProcessingException:
                return  # the server's answer says what is missing
            for name, value in headers.items():
                request.setRawHeader(name.encode(), value.encode())

    return QgsNetworkAccessManager.setRequestPreprocessor(with_key)
