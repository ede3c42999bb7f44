// The web page: images, questions, the stages of an answer as they come, and its evidence. It asks its own server alone, and keeps
// nothing but the token, for as long as the tab is open. Text that was retrieved is put in as text; only the server's escaped HTML as HTML.
"use strict";

const $ = (id) => document.getElementById(id);
const make = (tag, props = {}, ...inside) => {
  const one = Object.assign(document.createElement(tag), props);
  one.append(...inside);
  return one;
};
const images = []; // {file, url, frames, window: [low, high] or null, frame}
let current = -1, running = null, before = [];
const turns = new Map(); // id of an answer → its evidence

// -- asking the server ------------------------------------------------------------------------------------------------

async function ask(path, options = {}) {
  const token = sessionStorage.getItem("token");
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  let reply;
  try {
    reply = await fetch(path, { ...options, headers: { ...headers, ...options.headers } });
  } catch (fault) {
    if (fault.name === "AbortError") throw fault;
    throw new Error("The server does not answer. Is it still running?");
  }
  if (reply.status === 401) {
    if (!$("key")) throw new Error("This server asks for a token now. Load the page again.");
    $("key").hidden = false;
    $("key-problem").textContent = token ? "This server does not know that token." : "";
    throw new Error("Enter the token of this server.");
  }
  if (!reply.ok) throw new Error(await reply.json().then((body) => body.error.message, () => `The server said ${reply.status}.`));
  return reply;
}

async function* events(reply) {
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    held += value;
    const parts = held.split("\n\n");
    held = parts.pop();
    for (const part of parts) {
      const name = /^event: (.*)$/m.exec(part), data = /^data: (.*)$/m.exec(part);
      if (name && data) yield [name[1], JSON.parse(data[1])];
    }
  }
}

// -- images -----------------------------------------------------------------------------------------------------------

let reading = null; // while images are being read; a question waits for them
function add(files) {
  const now = Promise.all([reading, read(files)]).finally(() => { if (reading === now) reading = null; });
  reading = now;
}

async function read(files) {
  $("problem").textContent = "";
  for (const file of files) {
    const one = { file, frame: 0, window: null, frames: 1 };
    try {
      await draw(one);
      images.push(one);
      current = images.length - 1;
    } catch (fault) {
      $("problem").textContent = `${file.name}: ${fault.message}`;
    }
  }
  show();
}

async function draw(one) {
  const form = new FormData();
  form.append("image", one.file);
  form.append("frame", one.frame);
  if (one.window) {
    form.append("center", (one.window[0] + one.window[1]) / 2);
    form.append("width", one.window[1] - one.window[0]);
  }
  const reply = await ask("v1/preview", { method: "POST", body: form });
  const limits = reply.headers.get("x-window");
  if (limits && !one.window) {
    one.window = limits.split(",").map(Number);
    const width = one.window[1] - one.window[0];
    one.range = [one.window[0] - width, one.window[1] + width, 3 * width];
  }
  one.frames = Number(reply.headers.get("x-frames")) || 1;
  if (one.url) URL.revokeObjectURL(one.url);
  one.url = URL.createObjectURL(await reply.blob());
}

function show() {
  $("images").replaceChildren(...images.map((one, n) => {
    const pick = make("button", { type: "button", className: "pick", title: one.file.name, onclick: () => { current = n; show(); } },
      make("img", { src: one.url, alt: one.file.name }));
    pick.setAttribute("aria-pressed", String(n === current));
    const gone = make("button", { type: "button", className: "gone", textContent: "×", onclick: () => drop(n) });
    gone.setAttribute("aria-label", `Take ${one.file.name} out`);
    return make("li", {}, pick, gone);
  }));
  const one = images[current];
  $("shown").hidden = !one;
  document.querySelector(".zooms").hidden = !one;
  $("stage").querySelector("p").hidden = Boolean(one);
  $("window").hidden = !(one && one.window);
  $("frames").hidden = !(one && one.frames > 1);
  if (!one) return;
  $("shown").src = one.url;
  $("shown").alt = one.file.name;
  if (one.window) {
    const [low, high] = one.window;
    Object.assign($("center"), { min: one.range[0], max: one.range[1], step: "any", value: (low + high) / 2 });
    Object.assign($("width"), { max: one.range[2], step: "any", value: high - low });
    told(one);
  }
  Object.assign($("frame"), { max: one.frames - 1, value: one.frame });
  $("frame-value").textContent = `${one.frame + 1} of ${one.frames}`;
}

function told(one) {
  $("center-value").textContent = Math.round((one.window[0] + one.window[1]) / 2);
  $("width-value").textContent = Math.round(one.window[1] - one.window[0]);
}

function drop(n) {
  URL.revokeObjectURL(images[n].url);
  images.splice(n, 1);
  if (n < current || current === images.length) current -= 1; // the one that is shown stays
  show();
  $("file").focus();
}

let waiting = 0;
function redraw(change) {
  const one = images[current];
  if (!one) return;
  change(one);
  clearTimeout(waiting);
  waiting = setTimeout(() => draw(one).then(() => { if (images[current] === one) { $("shown").src = one.url; show(); } },
    (fault) => { $("problem").textContent = fault.message; }), 120);
}
for (const name of ["center", "width"]) {
  $(name).addEventListener("input", () => redraw((one) => {
    const middle = Number($("center").value), half = Math.max(Number($("width").value), 1) / 2;
    one.window = [middle - half, middle + half];
    told(one);
  }));
}
$("frame").addEventListener("input", () => redraw((one) => { one.frame = Number($("frame").value); $("frame-value").textContent = `${one.frame + 1} of ${one.frames}`; }));

const view = { scale: 1, x: 0, y: 0 };
function zoom(factor) {
  if (factor) view.scale = Math.min(Math.max(view.scale * factor, 1), 12);
  if (!factor || view.scale === 1) Object.assign(view, { scale: 1, x: 0, y: 0 });
  place();
}
function place() {
  $("shown").style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.scale})`;
  $("stage").style.touchAction = view.scale > 1 ? "none" : ""; // a finger moves the image, or the page past it
}
$("stage").addEventListener("wheel", (event) => { if (images.length) { event.preventDefault(); zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15); } }, { passive: false });
$("stage").addEventListener("pointerdown", (event) => {
  if (!images.length) return;
  const from = [event.clientX - view.x, event.clientY - view.y];
  const move = (moved) => { if (view.scale > 1) { view.x = moved.clientX - from[0]; view.y = moved.clientY - from[1]; place(); } };
  const ends = ["pointerup", "pointercancel"];
  const end = () => { removeEventListener("pointermove", move); ends.forEach((name) => removeEventListener(name, end)); };
  addEventListener("pointermove", move);
  ends.forEach((name) => addEventListener(name, end));
  event.preventDefault();
});
$("stage").addEventListener("keydown", (event) => {
  const steps = { ArrowLeft: [30, 0], ArrowRight: [-30, 0], ArrowUp: [0, 30], ArrowDown: [0, -30] }[event.key];
  if (event.key === "+" || event.key === "=") zoom(1.25);
  else if (event.key === "-") zoom(0.8);
  else if (event.key === "0") zoom(0);
  else if (steps && view.scale > 1) { view.x += steps[0]; view.y += steps[1]; place(); }
  else return;
  event.preventDefault();
});
document.querySelectorAll("[data-zoom]").forEach((button) => button.addEventListener("click", () => zoom(Number(button.dataset.zoom))));
$("file").addEventListener("change", () => { add([...$("file").files]); $("file").value = ""; });
for (const name of ["dragenter", "dragover"]) document.addEventListener(name, (event) => { event.preventDefault(); $("drop").classList.add("over"); });
for (const name of ["dragleave", "drop"]) document.addEventListener(name, (event) => { event.preventDefault(); $("drop").classList.remove("over"); });
document.addEventListener("drop", (event) => add([...event.dataTransfer.files]));
document.addEventListener("paste", (event) => { if (event.clipboardData.files.length) add([...event.clipboardData.files]); });

// -- a question and its answer ----------------------------------------------------------------------------------------

const STAGES = {
  queued: (data) => (data.place ? `waiting, ${data.place} before you` : "at work"),
  routed: (data) => `${data.domain}, confidence ${Math.round(data.confidence * 100)} %`,
  found: (data) => Object.entries(data.sources).map(([name, one]) => `${name} ${one.count}`).join(", ") || "nothing asked",
  selected: (data) => `${data.kept.length} kept, ${data.dropped.length} left out`,
  step: (data) => `${data.step ?? "?"}. ${data.tool || "a reply that was no call"}`,
};

$("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const question = $("question").value.trim();
  if (reading && !running) {
    const wait = new AbortController();
    busy(wait);
    await reading;
    busy(null);
    if (wait.signal.aborted || $("problem").textContent) return; // an image that was meant to be part of it is not
  }
  if (running || !(question || images.length)) { if (!running) $("problem").textContent = "Write a question, or add an image."; return; }
  $("problem").textContent = "";
  $("empty")?.remove();
  const stages = make("ol", { className: "stages" }), text = make("p", { className: "text" });
  const turn = make("article", { className: "turn" }, make("h2", { className: "asked", textContent: question || "What does the image show?" }), stages, text);
  $("talk").prepend(turn);
  if (matchMedia("(max-width: 760px)").matches) turn.scrollIntoView({ block: "start" });
  const form = new FormData();
  for (const one of images) form.append("image", one.file);
  for (const one of before.slice(-20)) form.append("before", one);
  const fields = { question, stream: true, html: true, agent: $("agent").checked };
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  busy(new AbortController());
  try {
    let asked = question;
    const reply = await ask("v1/answer", { method: "POST", body: form, signal: running.signal });
    for await (const [stage, data] of events(reply)) {
      if (stage === "token") text.textContent += data.text;
      else if (stage === "answer") { finished(turn, text, data); asked = completed(turn, question, data.question); }
      else if (stage === "error") throw new Error(data.message);
      else if (stage !== "step" || data.node === "verified") stages.append(make("li", { textContent: STAGES[stage]?.(data) ?? stage }));
    }
    if (!turn.classList.contains("done")) throw new Error("The server stopped before it had answered.");
    before.push(asked);  // with what it left out
  } catch (fault) {
    if (fault.name === "AbortError") { stages.append(make("li", { textContent: "stopped" })); }
    else { turn.remove(); $("problem").textContent = fault.message; }
  }
  busy(null);
});

function completed(turn, question, whole) { // a follow-up is shown with what it left out; "How do you know?" is answered about the one before
  if (question && whole && whole !== question && whole !== before.at(-1)) turn.querySelector(".asked").after(make("p", { className: "soft", textContent: `Asked as: ${whole}` }));
  return whole || question;
}

function busy(control) {
  running = control;
  $("send").disabled = Boolean(control);
  $("stop").hidden = !control;
}
$("stop").addEventListener("click", () => running?.abort());
$("question").addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("form").requestSubmit(); });

function finished(turn, text, data) {
  const { html, ...answer } = data;
  const said = make("div"), rest = make("div"), evidence = make("div", { className: "shown" });
  said.innerHTML = html.said;
  rest.innerHTML = html.rest;
  evidence.innerHTML = html.evidence;
  text.replaceWith(said, rest, make("div", { className: "tools" },
    make("button", { type: "button", textContent: "Evidence", onclick: () => { reveal(data.id); $("evidence").scrollIntoView({ block: "nearest" }); $("evidence").focus(); } }),
    make("button", { type: "button", textContent: "Save as HTML", onclick: () => save(ask(`v1/answers/${data.id}/page`).then((reply) => reply.blob()), "answer.html") }),
    make("button", { type: "button", textContent: "Save as JSON", onclick: () => save(Promise.resolve(new Blob([JSON.stringify(answer, null, 2)], { type: "application/json" })), "answer.json") })));
  turn.classList.add("done");
  turns.set(data.id, evidence);
  turn.addEventListener("click", (event) => {
    const chip = event.target.closest("a.chip");
    if (!chip) return;
    event.preventDefault();
    reveal(data.id);
    point(chip.hash.slice(1));
  });
  reveal(data.id);
}

function reveal(id) {
  $("evidence").replaceChildren(make("h2", { textContent: "Evidence" }), turns.get(id));
}

function point(id) {
  document.querySelectorAll(".card.hit").forEach((card) => card.classList.remove("hit"));
  const card = document.getElementById(id);
  if (!card) return;
  card.closest("details")?.setAttribute("open", "");
  card.querySelector(".zoom")?.setAttribute("open", "");
  card.classList.add("hit");
  card.tabIndex = -1;
  card.focus({ preventScroll: true });
  card.scrollIntoView({ block: "start", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
}

function save(content, name) {
  content.then((blob) => {
    const link = make("a", { href: URL.createObjectURL(blob), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }, (fault) => { $("problem").textContent = fault.message; });
}

// -- the index and the reports ----------------------------------------------------------------------------------------

async function about() {
  const facts = await ask("v1/index").then((reply) => reply.json());
  $("about").textContent = `${facts.name} · ${facts.model}${facts.private ? " · private" : ""}`;
  $("index-name").textContent = `Index ${facts.name}`;
  $("index-about").textContent = [facts.about, `searched by ${facts.retrievers.join(", ")}`].filter(Boolean).join(" · ");
  $("counts").tBodies[0].replaceChildren(...Object.entries(facts.counts).flatMap(([corpus, kinds]) => Object.entries(kinds).map(([kind, number]) =>
    make("tr", {}, make("td", { textContent: corpus }), make("td", { textContent: kind }), make("td", { textContent: number.toLocaleString("en") })))));
  const { reports } = await ask("v1/reports").then((reply) => reply.json());
  $("no-reports").hidden = reports.length > 0;
  $("reports").replaceChildren(...reports.map((name) => make("li", {}, make("button", { type: "button", textContent: name, onclick: () => open(name) }))));
}

async function open(name) {
  $("report-problem").textContent = "";
  try {
    $("report").srcdoc = await ask(`v1/reports/${encodeURIComponent(name)}`).then((reply) => reply.text());
    $("report").hidden = false;
  } catch (fault) {
    $("report").hidden = true;
    $("report-problem").textContent = fault.message;
  }
}

$("search").addEventListener("submit", async (event) => {
  event.preventDefault();
  $("search-problem").textContent = "";
  try {
    const found = await ask(`v1/search?k=20&question=${encodeURIComponent($("words").value)}`).then((reply) => reply.json());
    $("hits").replaceChildren(...found.hits.map(hit));
    if (!found.hits.length) $("search-problem").textContent = "Nothing was found.";
  } catch (fault) {
    $("search-problem").textContent = fault.message;
  }
});

function hit(one) {
  const card = make("li", { className: "card" }, make("div", { className: "head" }, make("span", { className: "key", textContent: one.rank }),
    make("span", { className: "title", textContent: one.title || one.name || one.doc }), make("span", { className: "tag", textContent: one.kind })),
  make("p", { className: "place", textContent: `${one.item} · ${one.sources.join(", ")}` }), make("p", { className: "said", textContent: one.text.slice(0, 900) }));
  if (one.kind === "triple") return card; // a path is made of statements and is no item of its own
  const button = make("button", { type: "button", textContent: "Show as a picture" });
  button.addEventListener("click", () => ask(`v1/items/${encodeURIComponent(one.item)}/picture?side=1200`)
    .then((reply) => reply.blob())
    .then((blob) => button.replaceWith(make("img", { src: URL.createObjectURL(blob), alt: `Picture of ${one.item}` })),
      (fault) => { $("search-problem").textContent = fault.message; }));
  card.append(button);
  return card;
}

// -- tabs and the token -----------------------------------------------------------------------------------------------

const tabs = [...document.querySelectorAll('[role="tab"]')];
tabs.forEach((tab, n) => {
  tab.addEventListener("click", () => choose(tab));
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) { choose(tabs[(n + step + tabs.length) % tabs.length]); document.querySelector('[role="tab"][aria-selected="true"]').focus(); }
  });
});
function choose(tab) {
  for (const one of tabs) {
    const on = one === tab;
    one.setAttribute("aria-selected", String(on));
    one.tabIndex = on ? 0 : -1;
    $(one.getAttribute("aria-controls")).hidden = !on;
  }
}
$("key")?.addEventListener("submit", (event) => { event.preventDefault(); sessionStorage.setItem("token", $("token").value); start(); });
function start() {
  about().then(() => $("key")?.setAttribute("hidden", ""), (fault) => { $("about").textContent = fault.message; });
}
start();
