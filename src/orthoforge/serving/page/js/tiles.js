// Tiles as a Leaflet layer that asks by `Server`: with the API key, again when the server says so, and no more when nobody looks.

/* global L */

const MOST_TRIES = 8;
const LATE = 504; // its deadline passed while others were made
const AGAIN_S = 2;

const keyOf = ({ x, y, z }) => `${z}/${x}/${y}`;

const addressOf = (template, coords) => template.replace(/\{([xyz])\}/g, (_, name) => coords[name]);

const wait = (seconds, signal) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, 1000 * seconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });

/** A tile's bytes; asked for again while the server is busy. */
async function tile(server, address, signal) {
  for (let tries = 1; ; tries++) {
    try {
      return await (await server.ask(address, { signal })).blob();
    } catch (error) {
      const seconds = error.retryAfterS ?? (error.status === LATE ? AGAIN_S : 0);
      if (!seconds || tries === MOST_TRIES) throw error;
      await wait(seconds, signal);
    }
  }
}

async function show(image, blob) {
  image.src = URL.createObjectURL(blob);
  try {
    await image.decode();
  } finally {
    URL.revokeObjectURL(image.src);
  }
}

/** `new Tiles(server, "/v1/maps/town/tiles/{z}/{x}/{y}.png", {onTrouble, …})`; further options are those of L.GridLayer. */
export const Tiles = L.GridLayer.extend({
  initialize(server, template, options) {
    Object.assign(this, { server, template, asking: new Map() });
    L.setOptions(this, options);
    this.on("tileunload", ({ coords }) => {
      this.asking.get(keyOf(coords))?.abort();
      this.asking.delete(keyOf(coords));
    });
  },

  createTile(coords, done) {
    const image = document.createElement("img");
    image.alt = "";
    const asking = new AbortController();
    this.asking.set(keyOf(coords), asking);
    tile(this.server, addressOf(this.template, coords), asking.signal)
      .then((blob) => show(image, blob))
      .then(
        () => done(null, image),
        (error) => {
          if (error.name !== "AbortError") this.options.onTrouble?.(error);
          done(error, image);
        },
      );
    return image;
  },
});
