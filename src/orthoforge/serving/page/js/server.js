// Asks the server, and turns its problems (RFC 9457) into errors with words for people.

import { keep, kept } from "./kept.js";

const KEY = "orthoforge-key";

export class Trouble extends Error {
  constructor(status, title, detail, retryAfterS) {
    super(detail);
    Object.assign(this, { status, title, retryAfterS });
  }
}

export class Server {
  /** `askKey(wasWrong)` gives an API key, or null when nobody wants to give one. */
  constructor(askKey) {
    this.askKey = askKey;
    this.key = kept("sessionStorage", KEY) ?? "";
  }

  async ask(path, { headers = {}, ...options } = {}) {
    for (;;) {
      const key = this.key;
      const withKey = key ? { ...headers, Authorization: `Bearer ${key}` } : headers;
      const response = await fetch(path, { ...options, headers: withKey }).catch((error) => {
        if (error.name === "AbortError") throw error;
        throw new Trouble(0, "No answer", "The server does not answer. Is it running, and is the network there?", 5);
      });
      if (response.ok) return response;
      if (response.status === 401 && (this.key !== key || (await this.#newKey(Boolean(key))))) continue;
      throw await troubleOf(response);
    }
  }

  json = async (path, options) => (await this.ask(path, options)).json();

  #asking = null;

  /** One dialog at a time, however many requests were refused. */
  async #newKey(wasWrong) {
    this.#asking ??= this.askKey(wasWrong).finally(() => (this.#asking = null));
    const key = await this.#asking;
    if (!key) return false;
    this.key = key;
    keep("sessionStorage", KEY, key);
    return true;
  }
}

async function troubleOf(response) {
  const seconds = Number(response.headers.get("Retry-After")) || null;
  const problem = await response.json().catch(() => ({}));
  const title = problem.title ?? `Error ${response.status}`;
  return new Trouble(response.status, title, problem.detail ?? `The server answered ${response.status}.`, seconds);
}

/** A form of what is not empty. */
export function formOf(fields) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    if (value !== null && value !== undefined && value !== "") form.append(name, value);
  }
  return form;
}
