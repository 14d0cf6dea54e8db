// Light and dark: as the system has it, until one says otherwise.

import { keep, kept } from "./kept.js";

const KEPT = "orthoforge-theme";

export function useTheme(button) {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  const show = () => {
    const theme = kept("localStorage", KEPT) ?? chosen ?? (dark.matches ? "dark" : "light");
    document.documentElement.dataset.theme = theme;
    button.ariaPressed = String(theme === "dark");
  };
  button.addEventListener("click", () => {
    chosen = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    keep("localStorage", KEPT, chosen);
    show();
  });
  dark.addEventListener("change", show);
  show();
}
