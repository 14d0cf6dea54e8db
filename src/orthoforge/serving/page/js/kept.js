// What the browser keeps of the page. It may refuse: then nothing is kept, and the page works all the same.

export const KEPT = "orthoforge-town"; // what was drawn last

export function kept(storage, name) {
  try {
    return window[storage].getItem(name);
  } catch {
    return null;
  }
}

export function keep(storage, name, value) {
  try {
    window[storage].setItem(name, value);
  } catch {
    // Cookies are blocked, or there is no room.
  }
}
