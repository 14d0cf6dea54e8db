// How the image is to look: model, style or a photo's look, seed, and a strip of variants.

import { announce, say, tell } from "./messages.js";
import { formOf } from "./server.js";

const VARIANTS = 4;
const PHOTO_PX = 1024; // more of a photo is not looked at
const MOST_SEED = 2 ** 31 - 1;
const get = (id) => document.getElementById(id);

export class Look {
  #rolling = null;

  constructor(server, session, images) {
    Object.assign(this, { server, session, images, photo: null });
    for (const one of session.models) get("model").add(new Option(one.name, one.name));
    get("model-row").hidden = session.models.length < 2;
    get("model").addEventListener("change", ({ target }) => this.#useModel(target.value));
    get("style").addEventListener("change", ({ target }) => this.#useStyle(target.value));
    get("photo").addEventListener("change", ({ target }) => {
      if (target.files[0]) this.usePhoto(target.files[0]);
      target.value = "";
    });
    get("photo-button").addEventListener("click", () => get("photo").click());
    get("seed").addEventListener("change", ({ target }) => {
      const seed = Math.trunc(Number(target.value));
      session.setLook({ seed: Number.isFinite(seed) ? Math.min(MOST_SEED, Math.max(0, seed)) : session.seed });
    });
    get("dice").addEventListener("click", () => this.roll());
    get("variants-button").addEventListener("click", () => this.variants());
    session.addEventListener("look", () => this.#show());
    session.addEventListener("classes", () => this.#show());
    this.#show();
  }

  roll() {
    if (!this.session.model.seed_changes_the_image) return;
    this.session.setLook({ seed: Math.floor(Math.random() * 10_000) });
    announce(`Seed ${this.session.seed}`);
  }

  /** Images of the next seeds, one after the other, in a strip. */
  async variants() {
    this.forgetVariants();
    const rolling = (this.#rolling = new AbortController());
    const { doc, seed } = this.session;
    try {
      for (let other = seed + 1; other <= seed + VARIANTS; other++) {
        const blob = await this.images.image({ doc, seed: other, signal: rolling.signal });
        rolling.signal.throwIfAborted(); // an image that was kept comes all the same
        get("variants").append(this.#variant(blob, other));
      }
      announce(`${VARIANTS} variants`);
    } catch (error) {
      tell(error, "variants");
    }
  }

  forgetVariants() {
    this.#rolling?.abort();
    for (const image of get("variants").querySelectorAll("img")) URL.revokeObjectURL(image.src);
    get("variants").replaceChildren();
  }

  /** Let images have the look of a photo. */
  async usePhoto(file) {
    try {
      const photo = await smaller(file);
      const body = formOf({ photo, model: this.session.model.name });
      const { style } = await this.server.json("/v1/styles", { method: "POST", body });
      this.photo = { file, style };
      this.session.setLook({ style });
      say(`Images now look like ${file.name}.`, { name: "photo" });
    } catch (error) {
      tell(error, "photo");
    }
  }

  /** Send the photo again when the server has forgotten it. Whether there was one. */
  async remember() {
    if (!this.photo || this.session.style !== this.photo.style) return false;
    const { file } = this.photo;
    this.photo = null;
    await this.usePhoto(file);
    return true;
  }

  #useModel(name) {
    const lost = this.session.setModel(name);
    if (lost) say(`${lost} areas of classes that ${name} does not know were left out. Undo brings them back.`);
  }

  #useStyle(style) {
    this.session.setLook({ style });
  }

  #variant(blob, seed) {
    const button = document.createElement("button");
    button.className = "variant";
    button.ariaLabel = `Take seed ${seed}`;
    button.title = `Seed ${seed}`;
    button.append(Object.assign(document.createElement("img"), { src: URL.createObjectURL(blob), alt: "" }));
    button.append(Object.assign(document.createElement("span"), { textContent: seed }));
    button.addEventListener("click", () => this.session.setLook({ seed }));
    return button;
  }

  #show() {
    const { model, style, seed } = this.session;
    get("model").value = model.name;
    const choices = [new Option("Any, by the seed", ""), ...model.styles.map((name) => new Option(name, name))];
    if (style && !model.styles.includes(style)) choices.push(new Option(`Like ${this.photo?.file.name ?? "a photo"}`, style));
    get("style").replaceChildren(...choices);
    get("style").value = style;
    for (const id of ["style-row", "photo-button"]) get(id).hidden = !model.styles.length;
    get("seed").value = seed;
    for (const id of ["seed-row", "variants-button"]) get(id).hidden = !model.seed_changes_the_image;
    for (const button of get("variants").children) button.ariaPressed = String(button.title === `Seed ${seed}`);
    get("attribution").textContent = model.attribution ? `Trained on: ${model.attribution}` : "";
  }
}

/** A picture that browsers can read, no larger than is looked at; any other file as it is. */
async function smaller(file) {
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap) return file;
  const scale = Math.min(1, PHOTO_PX / Math.min(bitmap.width, bitmap.height));
  const canvas = new OffscreenCanvas(Math.round(bitmap.width * scale), Math.round(bitmap.height * scale));
  const context = canvas.getContext("2d");
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return canvas.convertToBlob({ type: "image/jpeg", quality: 0.95 });
}
