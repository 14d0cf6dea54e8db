// Click a picture: it fills the window. Arrow keys go through the pictures of its row, Escape or a click closes.
const dialog = document.getElementById("zoom");
const enlarged = dialog.querySelector("img");
let row = [];
let position = 0;

function show() {
  const small = row[position].querySelector("img");
  enlarged.src = small.src;
  enlarged.alt = small.alt;
  // Single pixels are shown as squares once there is room for it, instead of being blurred.
  enlarged.classList.toggle("enlarged", innerWidth >= 2 * small.naturalWidth && innerHeight >= 2 * small.naturalHeight);
  dialog.querySelector("p").textContent = small.alt;
  for (const button of dialog.querySelectorAll("[data-move]")) button.hidden = row.length < 2;
}

function move(by) {
  position = (position + by + row.length) % row.length;
  show();
}

for (const button of document.querySelectorAll("button.zoom")) {
  button.addEventListener("click", () => {
    row = [...button.closest(".row").querySelectorAll("figure")];
    position = row.indexOf(button.closest("figure"));
    show();
    dialog.showModal();
  });
}
dialog.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button && button.dataset.move) move(Number(button.dataset.move));
  else dialog.close();
});
dialog.addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") move(-1);
  if (event.key === "ArrowRight") move(1);
});

// Wide rows below one heading scroll together, so that a column stays the same run's.
for (const part of document.querySelectorAll("section")) {
  const strips = [...part.querySelectorAll(".row.wide")];
  for (const strip of strips) {
    strip.addEventListener("scroll", () => {
      for (const other of strips) if (Math.abs(other.scrollLeft - strip.scrollLeft) > 1) other.scrollLeft = strip.scrollLeft;
    });
  }
}

// A table that is wider than the page says that it scrolls, and at its edge while there is more.
for (const strip of document.querySelectorAll(".scroll")) {
  const hint = strip.parentElement.querySelector(".hint");
  const look = () => {
    hint.hidden = strip.scrollWidth <= strip.clientWidth + 1;
    strip.classList.toggle("more", strip.scrollLeft + strip.clientWidth < strip.scrollWidth - 1);
  };
  strip.addEventListener("scroll", look);
  addEventListener("resize", look);
  addEventListener("toggle", look, true);
  look();
}
