// Puts the page together.

import { Brush } from "./brush.js";
import { find } from "./document.js";
import { Drawing } from "./drawing.js";
import { EXAMPLES, example } from "./examples.js";
import { Files } from "./files.js";
import { Images } from "./images.js";
import { KEPT, keep } from "./kept.js";
import { Keyboard } from "./keyboard.js";
import { first, share } from "./links.js";
import { Look } from "./look.js";
import { announce, askKey, hush, say, tell } from "./messages.js";
import { toLonLat } from "./places.js";
import { Server } from "./server.js";
import { Session } from "./session.js";
import { packed } from "./share.js";
import { Stage } from "./stage.js";
import { Swipe } from "./swipe.js";
import { useTheme } from "./theme.js";

const SIZES = [256, 512, 768, 1024];
const get = (id) => document.getElementById(id);
const all = (selector) => document.querySelectorAll(selector);

async function begin() {
  useTheme(get("theme"));
  const server = new Server(askKey);
  const { models } = await server.json("/v1/models");
  const usable = models.filter((one) => one.bands === 3);
  if (!usable.length) throw new Error("No model of this server makes images of three bands, which a page can show.");
  const session = new Session(usable);
  const stage = new Stage(get("stage"), session);
  const drawing = new Drawing(stage, session);
  const brush = new Brush(stage, session);
  const images = new Images(server, session);
  const look = new Look(server, session, images);
  const files = new Files(server, session, images, look);
  const swipe = new Swipe(stage, session, images);
  const actions = {
    roll: () => look.roll(),
    fit: () => stage.fit(),
    zoomIn: () => stage.map.zoomIn(),
    zoomOut: () => stage.map.zoomOut(),
    toggleAreas: () => {
      stage.toggleAreas();
      get("areas-toggle").ariaPressed = String(stage.showsAreas);
    },
    toggleCompare: () => swipe.toggle(),
    help: () => get("help-dialog").showModal(),
  };
  const keyboard = new Keyboard({ stage, session, drawing, brush, actions });
  const app = { server, session, stage, drawing, brush, images, look, files, swipe, keyboard, actions };
  tools(app);
  panels(app);
  following(app);
  await first(app);
  if ((await server.json("/v1/maps")).maps.length) get("map-link").hidden = false;
  document.documentElement.dataset.ready = "yes";
  window.orthoforge = app;
}

/** The tool bar, the classes, and what they show of the session. */
function tools({ session, stage, drawing, keyboard, actions }) {
  for (const button of all("[data-tool]")) button.addEventListener("click", () => session.setTool(button.dataset.tool));
  const does = {
    undo: () => session.undo(), redo: () => session.redo(), delete: () => keyboard.remove(), copy: () => keyboard.duplicate(),
    "zoom-in": actions.zoomIn, "zoom-out": actions.zoomOut, fit: actions.fit, "areas-toggle": actions.toggleAreas, help: actions.help,
  };
  for (const [id, action] of Object.entries(does)) get(id).addEventListener("click", action);
  get("brush-size").addEventListener("input", ({ target }) => session.setBrush(Number(target.value) / 2));
  const swatches = () => {
    const drawn = session.classes.filter((one) => one.index !== session.background);
    get("classes").hidden = drawn.length < 2;
    get("classes").replaceChildren(...drawn.map((one, number) => {
      const button = Object.assign(document.createElement("button"), { className: "swatch", title: `${one.name} (${number + 1})` });
      const spot = Object.assign(document.createElement("span"), { className: "spot" });
      spot.style.backgroundColor = session.shownColour(one.index);
      button.append(spot, one.name);
      button.dataset.class = one.name;
      button.addEventListener("click", () => session.setClass(one.index));
      button.dataset.index = one.index;
      return button;
    }));
    show();
  };
  const show = () => {
    drawing.use(session.tool);
    for (const button of all("[data-tool]")) button.ariaPressed = String(button.dataset.tool === session.tool);
    for (const button of get("classes").children) button.ariaPressed = String(Number(button.dataset.index) === session.cls);
    get("brush-row").hidden = !["brush", "eraser"].includes(session.tool);
    get("brush-size").value = 2 * session.brush;
    get("brush-metres").textContent = `${(2 * session.brush * session.place.pixel).toFixed(1)} m`;
    const hint = { select: "Click an area: drag it, its corners, or the round handle to turn it.",
                   rectangle: "Drag along one wall of a house, then click where it ends. Or click three corners.",
                   polygon: "Click corner after corner; click the first one again to end. Alt: no snapping.",
                   brush: "Paint. [ and ] change the width.", eraser: "Rub out. [ and ] change the width." };
    get("hint").textContent = hint[session.tool];
  };
  session.addEventListener("tool", show);
  session.addEventListener("classes", swatches);
  session.addEventListener("selected", () => {
    for (const id of ["delete", "copy"]) get(id).disabled = !drawing.selected;
    const one = drawing.selected && find(session.doc, drawing.selected);
    if (one && one.cls !== session.cls) session.setClass(one.cls);
  });
  stage.map.getContainer().addEventListener("pointerdown", () => stage.map.getContainer().focus({ preventScroll: true }));
  swatches();
}

/** Examples, files, size and place, and what is kept. */
function panels({ session, files, look, drawing }) {
  for (const [name, title] of Object.entries(EXAMPLES)) {
    const button = Object.assign(document.createElement("button"), { textContent: title });
    button.addEventListener("click", () => session.apply(example(name, session)));
    get("examples").append(button);
  }
  for (const button of all("[data-forge]")) button.addEventListener("click", () => busy(button, () => files.forge(button.dataset.forge)));
  for (const button of all("[data-save]")) button.addEventListener("click", () => busy(button, () => files.save(button.dataset.save)));
  get("clear").addEventListener("click", () => session.apply([]));
  get("open-button").addEventListener("click", () => get("open").click());
  get("open").addEventListener("change", ({ target }) => {
    if (target.files[0]) files.open(target.files[0]);
    target.value = "";
  });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    if (file) (/\.jpe?g$/i.test(file.name) ? look.usePhoto(file) : files.open(file));
  });
  get("size").replaceChildren(...SIZES.map((side) => new Option("", side)));
  get("size").addEventListener("change", ({ target }) => Number(target.value) && session.resize(Number(target.value)));
  get("place").addEventListener("change", ({ target }) => {
    const words = target.value.trim().split(/[,; ]+/);
    const [lon, lat] = words.length === 2 && words.every(Boolean) ? words.map(Number) : [];
    if (Math.abs(lon) <= 180 && Math.abs(lat) < 84) session.moveTo(lon, lat);
    else say("Write longitude and latitude in degrees, as in 14.40, 50.10.", { kind: "error", name: "place" });
    showPlace(session);
  });
  get("share").addEventListener("click", () => share(session));
  session.addEventListener("canvas", () => {
    drawing.cancel();
    showPlace(session);
  });
  showPlace(session);
}

function showPlace(session) {
  const { width, height, place } = session;
  const sizes = [...get("size").options].filter((one) => Number(one.value));
  for (const one of sizes) one.textContent = `${one.value} px, ${Math.round(one.value * place.pixel)} m`;
  get("size").querySelector("[value='0']")?.remove();
  if (width !== height || !SIZES.includes(width)) get("size").add(new Option(`${width} × ${height} px`, 0));
  get("size").value = width === height && SIZES.includes(width) ? width : 0;
  const [lon, lat] = toLonLat(place, [width / 2, height / 2]);
  get("place").value = `${lon.toFixed(5)}, ${lat.toFixed(5)}`;
}

/** The image follows what is drawn and how it is to look. */
function following({ session, stage, images, look, drawing, swipe }) {
  const remember = () => keep("localStorage", KEPT, packed(session));
  const steps = () => {
    get("undo").disabled = !session.history.canUndo;
    get("redo").disabled = !session.history.canRedo;
  };
  session.addEventListener("doc", ({ detail: { doc, live, undone } }) => {
    stage.draw(doc);
    if (undone) drawing.refresh();
    images.follow(doc, live);
    steps();
    if (!live) {
      look.forgetVariants();
      remember();
    }
  });
  session.addEventListener("look", () => {
    images.follow(session.doc, false);
    remember();
  });
  session.addEventListener("canvas", () => {
    stage.useCanvas();
    look.forgetVariants();
    images.follow(session.doc, false);
    steps();
    remember();
  });
  session.addEventListener("classes", () => stage.restyle());
  images.addEventListener("begun", ({ detail: { mask } }) => {
    document.body.classList.add("working");
    stage.setPicture("mask", mask);
  });
  images.addEventListener("made", ({ detail: { image, seconds, doc } }) => {
    document.body.classList.remove("working");
    hush("image");
    stage.setPicture("image", image);
    get("time").textContent = `${seconds.toFixed(2)} s`;
    document.documentElement.dataset.images = Number(document.documentElement.dataset.images ?? 0) + 1;
    announce(`Image of ${doc.length} ${doc.length === 1 ? "area" : "areas"}`);
    swipe.refresh(doc);
  });
  images.addEventListener("failed", async ({ detail: { error, doc } }) => {
    document.body.classList.remove("working");
    if (error.status === 422 && (await look.remember())) return;
    tell(error, "image");
    if (error.retryAfterS) setTimeout(() => session.doc === doc && images.follow(doc, false), 1000 * error.retryAfterS);
  });
}

async function busy(button, work) {
  button.disabled = true;
  try {
    await work();
  } catch (error) {
    tell(error);
  } finally {
    button.disabled = false;
  }
}

// A link that is opened in this tab changes no more than what follows the #.
addEventListener("hashchange", () => location.reload());
begin().catch((error) => tell(error));
