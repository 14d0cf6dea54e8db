// Links to the page: what it shows at first, and a link to what is drawn.

import { example } from "./examples.js";
import { openGround } from "./ground.js";
import { KEPT, kept } from "./kept.js";
import { say, tell } from "./messages.js";
import { Trouble } from "./server.js";
import { packed, restore, unpacked } from "./share.js";

const get = (id) => document.getElementById(id);

/** What is there at first: what a link says, a part of a map, what was drawn last, or a village. */
export async function first({ server, session }) {
  const asked = new URLSearchParams(location.hash.slice(1));
  const state = unpacked(asked.get("d") ?? kept("localStorage", KEPT) ?? "");
  if (asked.has("d") && !state) say("This link is damaged, so an example is shown.", { kind: "error" });
  if (location.hash) history.replaceState(null, "", location.pathname);
  const isOfMap = asked.has("map") && (await ofMap(server, session, asked).then(() => true, tell));
  if (!isOfMap && state) restore(session, state);
  else if (!isOfMap) session.apply(example("village", session));
  session.forgetPast();
  get("undo").disabled = true;
}

/** The ground of a map where a link says, as the map shows it. */
async function ofMap(server, session, asked) {
  const [lon, lat] = (asked.get("at") ?? "").split(",").map(Number);
  if (!Number.isFinite(lon) || !Number.isFinite(lat)) {
    throw new Trouble(0, "No place", "This link names no place of the map.");
  }
  if (session.models.some((one) => one.name === asked.get("model"))) session.setModel(asked.get("model"));
  const [style, seed] = [asked.get("style") ?? "", Number(asked.get("seed") ?? 0)];
  session.setLook({ style: session.model.styles.includes(style) ? style : "", seed: Number.isInteger(seed) && seed >= 0 ? seed : 0 });
  await openGround(server, session, asked.get("map"), lon, lat);
}

export async function share(session) {
  const link = `${location.origin}${location.pathname}#d=${packed(session)}`;
  if (session.style && !session.model.styles.includes(session.style)) say("The link leaves the look of the photo out: photos stay with you.");
  try {
    await navigator.clipboard.writeText(link);
    say("The link is in the clipboard. It holds all that is drawn.", { name: "share" });
  } catch {
    get("share-dialog").querySelector("input").value = link;
    get("share-dialog").showModal();
  }
}
