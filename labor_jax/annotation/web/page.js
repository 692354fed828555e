// What a person does: keys and mouse, and what follows from them.

import { Gallery } from "./gallery.js";
import { Live } from "./live.js";
import { looks as looksOf, swatch, UNSURE } from "./patterns.js";
import { Polygon } from "./polygon.js";
import { Review } from "./review.js";
import { Expired, Gone, Talk } from "./talk.js";
import { View } from "./view.js";
import { REVIEW, Work } from "./work.js";

const $ = id => document.getElementById(id);
const CLASS_KEYS = [..."1234567890qwertyuioadfgjklzxcvnm"]; // b, h, p and s are taken
const ZOOMS = [1, 2, 3, 4, 5, 6, 8, 12, 16, 24];
const HEARTBEAT = 5000, POLL = 2000, POLL_LIVE = 250; // ms

const view = new View($("view"), $("inset"));
const setup = await (await fetch("/api/setup")).json();
const looks = looksOf(setup.classes);
const keys = setup.classes.map((_, i) =>
  CLASS_KEYS[i] ?? CLASS_KEYS[i - CLASS_KEYS.length + 10]?.toUpperCase());

let annotator = setup.annotator || sessionStorage.getItem("labor_jax:annotator") || "";
let talk, live = null, review = null, gallery = null, chosen = null, work = null, current = null, picked = [], hidden = false, busy = true;
let brush = null, polygon = null;  // the tool that a part is drawn with
let ended = null;  // what the server told when nothing was open for this page, and the timer that asks again
let zoom = 6, totals = { at: 0, done: 0, total: 0, clicks: 0, seconds: 0 };
let history = [];  // what Backspace takes back: {task, answers}, {task, skipped: piece} or {task, chosen}
const ahead = new Map(); // tasks that are fetched before they are needed
const clock = { spent: 0, since: 0 };

// ------------------------------------------------------------------------------------- the clock

function startClock() { clock.spent = 0; clock.since = document.hidden ? 0 : performance.now(); }

function pauseClock() {
  if (clock.since) clock.spent += performance.now() - clock.since;
  clock.since = document.hidden ? 0 : performance.now();
}

function readClock() { pauseClock(); return Math.min(clock.spent / 1000, 3600); }

// ------------------------------------------------------------------------------------- the tasks

async function fetchWork(task) {
  const id = encodeURIComponent(task);
  const [told, image] = await Promise.all([
    talk.get(`/api/task?id=${id}`, "json"),
    talk.get(`/api/image?id=${id}`, "blob")
      .then(blob => createImageBitmap(blob, { colorSpaceConversion: "none" })),
  ]);
  const found = new Work(told, image, looks);
  for (const [piece, name] of told.skipped) if (name === annotator) found.skipped.add(piece);
  return found;
}

// Goes to the next task, or to one that is wanted. That of a review needs no lease.
async function nextTask(want) {
  busy = true;
  clearTimeout(ended?.timer);
  ended = null;
  review?.hide();
  try {
    const before = work?.task, reviewed = Boolean(want?.startsWith(REVIEW));
    if (reviewed) await talk.flush();
    const taken = reviewed ? { ...totals, task: want, then: null } : await talk.take(annotator, want);
    totals = taken;
    if (taken.task === null) { await showEnd(taken); return; }
    let found = await ahead.get(taken.task) ?? await fetchWork(taken.task);
    ahead.clear();
    if (!reviewed && found.version !== taken.version) found = await fetchWork(taken.task);
    work = found;
    if (want && taken.task !== want) toast("Somebody else is at work on that image", true);
    if (taken.task !== before) history = history.filter(h => h.task !== work.task);
    if (!history.some(h => h.task === work.task)) {
      const own = work.known.filter(a => a.annotator === annotator && a.id);
      history.push(...own.map(a => ({ task: work.task, answers: [a] })));
    }
    if (!want && nextOpen(0) === null && work.skipped.size) {
      work.skipped.clear();
      toast("These were skipped: a class, or unsure?");
    }
    $("end").hidden = true;
    document.body.dataset.kind = work.kind;
    current = chosen = gallery = brush = polygon = null;
    $("gallery").hidden = true;
    tellAsk();
    live?.review(reviewed);
    live?.follow(work).catch(() => {});
    $("hide-text").textContent = work.kind === "points" ? "hide the ring" : "hide the outlines";
    $("name").textContent = work.name;
    busy = false;
    if (reviewed) {
      Object.assign(view, { x: work.width / 2, y: work.height / 2, zoom: view.fit(work) });
      draw();
    }
    if (!want || nextOpen(0) !== null) goOn(0);
    if (taken.then) ahead.set(taken.then, fetchWork(taken.then).catch(() => null));
  } catch (error) {
    if (!(error instanceof Gone)) { showError(error); return; }
    toast(error.message.trim(), true);
    ended = { last: null, timer: setTimeout(() => nextTask(), POLL) };
  }
}

function nextOpen(from) {
  const count = work.pieces.length;
  for (let i = 0; i < count; i++) {
    const piece = (from + i) % count;
    if (work.isOpen(piece) && !work.skipped.has(piece)) return piece;
  }
  return null;
}

// Goes to pieces of one guess, which are confirmed at once, or to the next one.
function goOn(from) {
  const group = work.alike();
  if (group.length) goTo(group[0], group); else goTo(nextOpen(from));
}

function goTo(piece, group = null) {
  current = piece; picked = []; brush = polygon = null; hidden = false; chosen = null;
  gallery?.close();
  gallery = null;
  if (piece === null) { if (work.review) openReview(); else nextTask(); return; }
  if (!work.review) view.lookAt(work, work.box([piece]), zoom);
  if (group) gallery = new Gallery(work, group, setup.classes[work.guessAt(piece)].name, zoom);
  tellAsk();
  startClock();
  draw();
}

// Shows all images side by side, to look through them and fix what is wrong.
function openReview() {
  const from = work?.review ? work.task : null;
  clearTimeout(ended?.timer);
  ended = work = current = chosen = brush = polygon = null;
  gallery?.close();
  gallery = null;
  $("end").hidden = $("guess").hidden = true;
  $("ask").textContent = "All images";
  $("hint").textContent = "What the model predicts. Enter: open and fix. Esc: back to the questions.";
  $("progress").textContent = "";
  $("bar").style.width = "0";
  busy = false;
  review.show(from).catch(showError);
}

// ------------------------------------------------------------------------------------ answering

function makeId() {
  return [...crypto.getRandomValues(new Uint8Array(12))].map(b => b.toString(16).padStart(2, "0")).join("");
}

function answer(label) {
  if (busy || (current === null && !polygon)) return;
  if (chosen) answerChosen(label);
  else if (polygon) answerPolygon(label);
  else if (brush?.painted.size) {
    give([{ piece: current, runs: work.runsWhere(current, at => brush.painted.has(at)) }], label);
  } else give(wholes(gallery ? [current] : [current, ...picked]), label);
}

// Answers what a polygon holds: in a review all of it, else what is asked and open, piece by piece.
function answerPolygon(label) {
  const runs = polygon.inside;
  if (!runs) { toast("Enter closes the polygon"); return; }
  const parts = work.review ? [{ piece: work.pieceOf(runs[0]), runs }] : work.openWithin(runs);
  if (parts.length) give(parts, label); else toast("Nothing that is asked lies in it", true);
}

function wholes(pieces) { return pieces.map(piece => ({ piece, runs: null })); }

// Enter: the guess is right, of all that the gallery has or of one piece.
function confirm() {
  const pieces = gallery ? gallery.kept : [current], guess = work.guessAt(current);
  for (const piece of gallery?.out ?? []) work.alone.add(piece);
  if (pieces.length) give(wholes(pieces), guess, pieces.length); else goOn(current);
}

// Answers parts {piece, runs}, where no runs are all that is open of the piece; `together` is how
// many were confirmed at once.
function give(parts, label, together = 1) {
  const seconds = readClock() / parts.length, boxes = [], answers = [], said = [];
  const isPart = parts[0].runs !== null;
  for (const { piece, runs } of parts) {
    const one = { id: makeId(), piece, class: label, annotator };
    if (work.kind === "segments") one.runs = runs ?? work.openRuns(piece);
    said.push({ id: one.id, task: work.task, piece, class: label, seconds,
      ...(runs || work.review ? { runs: one.runs } : {}), ...saw(piece),
      ...(together > 1 ? { together } : {}), ...shownWith(one.runs ?? pixelAt(work.pieces[piece])) });
    boxes.push(work.set(one));
    answers.push(one);
    work.skipped.delete(piece);
  }
  if (work.layer) work.show(boxes);
  history.push({ task: work.task, answers, together, isPart });
  talk.say(annotator, said);
  totals.clicks += said.length;
  totals.seconds += Math.min(seconds, 60) * said.length;
  flash(label);
  const kind = work.kind === "points" ? "points" : "pieces";
  const what = parts.length > 1 ? `${isPart ? "parts of " : ""}${parts.length} ${kind}` : isPart ? "part" : "";
  toast(`${what} ${label === UNSURE ? "unsure" : setup.classes[label].name}`.trim());
  if (isPart && current !== null && work.isOpen(current)) { brush = polygon = null; startClock(); draw(); }
  else if (gallery && together === 1 && stay(parts[0].piece)) { startClock(); draw(); }
  else goOn(current ?? 0);
}

// Whether the gallery has something left to confirm without a piece.
function stay(piece) {
  for (const other of gallery.out) work.alone.add(other);
  const stays = gallery.drop(piece);
  if (stays) current = gallery.piece;
  return stays;
}

// What an answer says of the guess that was in sight.
function saw(piece) { return work.guesses[piece] === null ? {} : { guess: work.guesses[piece] }; }

// What an answer about [start, length, ...] says of the prediction that was in sight.
function shownWith(runs) {
  const shown = live?.on && live.shownAt(work, runs);
  return shown ? { shown } : {};
}

function pixelAt([x, y]) { return [y * work.width + x, 1]; }

// A pixel that nobody asked about, chosen by a click or by Shift and arrows.
function choose(x, y) {
  x = Math.floor(x); y = Math.floor(y);
  if (!setup.live || x < 0 || y < 0 || x >= work.width || y >= work.height) return;
  chosen = [x, y];
  hidden = false;
  tellAsk();
  draw();
}

function answerChosen(label) {
  const one = { id: makeId(), task: work.task, pixel: chosen, class: label, seconds: readClock(),
    ...shownWith(pixelAt(chosen)) };
  talk.say(annotator, [one]);
  history.push({ task: work.task, chosen: { id: one.id, at: chosen } });
  totals.clicks += 1;
  totals.seconds += Math.min(one.seconds, 60);
  flash(label);
  toast(`${label === UNSURE ? "unsure" : setup.classes[label].name} · your own pixel`);
  chosen = null;
  startClock();
  tellAsk();
  draw();
}

function tellAsk() {
  const guess = chosen ? null : work.guessAt(current), what = guess === null ? "" : setup.classes[guess].name;
  for (const [i, item] of [...$("classes").children].entries()) item.classList.toggle("guess", i === guess);
  $("guess").lastChild.replaceChildren(...(guess === null ? [] : [swatch(looks[guess]), `${what}?`]));
  if (guess !== null) {
    $("ask").textContent = gallery ? `Are these all ${what}?`
      : work.kind === "points" ? `Is the pixel in the ring ${what}?` : `Is the outlined piece ${what}?`;
    $("hint").textContent = gallery
      ? "Enter: yes, all. Arrows and a class’s key: that one is another. Del: ask it alone."
      : "Enter: yes. Another class’s key: that one. Space: unsure.";
    return;
  }
  $("ask").textContent = chosen ? "What is the pixel that you chose?"
    : work.kind === "points" ? "What is the pixel in the ring?" : "What is the outlined piece?";
  $("hint").textContent = chosen ? "Press the key of its class. Esc: back to the question."
    : work.kind === "points" ? "Press the key of its class. It is saved, and the next one comes."
      : `Press the key of its class. Shift-click: several at once. B, P: a part.${work.review ? " Esc: all images." : ""}`;
}

function skip() {
  if (busy || current === null || chosen) return;
  if (!work.review) {
    talk.say(annotator, [{ id: makeId(), task: work.task, piece: current, class: null, seconds: readClock() }]);
  }
  work.skipped.add(current);
  history.push({ task: work.task, skipped: current });
  toast("skipped");
  if (gallery && stay(current)) { startClock(); draw(); } else goOn(current);
}

async function back() {
  if (busy) return;
  if (brush) { toggleBrush(); return; }
  if (polygon) { if (!polygon.takeBack()) polygon = null; draw(); return; }
  if (chosen) { chosen = null; tellAsk(); draw(); return; }
  const last = history.at(-1) ?? (ended?.last && { task: ended.last });
  if (!last) { toast("There is nothing to take back"); return; }
  if (last.task !== work?.task) {
    await nextTask(last.task);
    if (work?.task !== last.task) return;
    if (!history.length) { nextTask(); return; }
    if ("skipped" in last) { work.skipped.delete(last.skipped); goTo(last.skipped); } else back();
    return;
  }
  history.pop();
  if ("chosen" in last) {
    talk.say(annotator, [{ id: makeId(), task: work.task, undo: last.chosen.id, seconds: readClock() }]);
    toast("taken back");
    startClock();
    return;
  }
  if ("skipped" in last) {
    work.skipped.delete(last.skipped);
    goTo(last.skipped);
    return;
  }
  const seconds = readClock() / last.answers.length;
  talk.say(annotator, last.answers.map(a => ({ id: makeId(), task: work.task, undo: a.id, seconds })));
  const boxes = last.answers.map(a => work.unset(a));
  if (work.layer) work.show(boxes);
  toast("taken back");
  const [first, ...others] = last.answers.map(a => a.piece);
  goTo(first, last.together > 1 ? [first, ...others] : null);
  if (!gallery && !last.isPart) picked = others.filter(piece => piece !== first);
  draw();
}

// ------------------------------------------------------------------- pieces, brush and polygon

// The open piece at a place of the image.
function pieceAt(x, y) {
  x = Math.floor(x); y = Math.floor(y);
  if (x < 0 || y < 0 || x >= work.width || y >= work.height) return null;
  const at = y * work.width + x;
  return work.owner[at] > 0 ? work.pieceOf(at) : null;
}

function pick(piece) {
  if (piece === null || piece === current) return;
  picked = picked.includes(piece) ? picked.filter(p => p !== piece) : [...picked, piece];
  draw();
}

// Takes along the nearest open piece that lies in a direction from what is taken already.
function pickTowards(dx, dy) {
  const [x, y] = centre(picked.at(-1) ?? current), taken = new Set([current, ...picked]);
  let best = null, least = Infinity;
  for (let piece = 0; piece < work.pieces.length; piece++) {
    if (!work.isOpen(piece) || taken.has(piece)) continue;
    const [px, py] = centre(piece), along = (px - x) * dx + (py - y) * dy;
    const aside = Math.abs((px - x) * dy) + Math.abs((py - y) * dx);
    if (along > 0 && aside <= 2 * along && along + 2 * aside < least) {
      least = along + 2 * aside; best = piece;
    }
  }
  if (best === null) toast("No open piece on that side"); else pick(best);
}

function centre(piece) {
  work.centres ??= [];
  if (!work.centres[piece]) {
    const [x, y, width, height] = work.box([piece]);
    work.centres[piece] = [x + width / 2, y + height / 2];
  }
  return work.centres[piece];
}

function toggleBrush() {
  if (busy || current === null || gallery || work.kind !== "segments") return;
  const [x, y, width, height] = work.box([current]);
  const radius = brush?.radius ?? Math.max(0.5, Math.round(Math.min(width, height) / 6));
  brush = brush ? null : { painted: new Set(), x: x + width / 2, y: y + height / 2, radius };
  polygon = null;
  picked = [];
  draw();
}

// Also where all of a reviewed image is fixed: a polygon may cover it anew.
function togglePolygon() {
  if (busy || gallery || work?.kind !== "segments" || (current === null && !work.review)) return;
  polygon = polygon ? null : new Polygon(work.width, work.height, view.x, view.y);
  brush = null;
  picked = [];
  hidden = false;
  draw();
}

function closePolygon() { if (!polygon.close()) toast("A polygon has three corners, and pixels inside"); }

// A click sets a corner; one on the first corner closes the polygon.
function setCorner(x, y) {
  if (polygon.inside) return;
  polygon.moveTo(x, y);
  if (polygon.isAtFirst(x, y, view.zoom)) closePolygon(); else polygon.add();
  draw();
}

// What a key does while a polygon is drawn; false: what it always does.
function polygonKey(key, shift) {
  if (polygon.inside) return false;
  if (ARROWS[key]) {
    const [x, y] = polygon.at, [dx, dy] = ARROWS[key];
    const step = Math.max(1, Math.round(6 / view.zoom)) * (shift ? 10 : 1);
    polygon.moveTo(x + step * dx, y + step * dy);
    view.keepInSight(...polygon.at);
  } else if (key === " ") polygon.add();
  else if (key === "Enter") closePolygon();
  else return false;
  draw();
  return true;
}

function paint(erase) {
  const { x, y, radius, painted } = brush;
  for (let py = Math.floor(y - radius); py <= y + radius; py++) {
    for (let px = Math.floor(x - radius); px <= x + radius; px++) {
      const near = Math.hypot(px + 0.5 - x, py + 0.5 - y) <= Math.max(radius, 0.75);
      if (!near || pieceAt(px, py) !== current) continue;
      if (erase) painted.delete(py * work.width + px); else painted.add(py * work.width + px);
    }
  }
}

// ------------------------------------------------------------------------------------- what shows

let asked = false, pressed = 0;
const painted = new MessageChannel();
painted.port1.onmessage = ({ data }) => performance.measure("key to drawn", { start: data });

function draw() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    if (!work) return;
    view.resize();
    const at = chosen ?? (work.kind === "points" && current !== null ? work.pieces[current] : null);
    view.draw(work, { current, picked, hidden, brush, polygon, at, chosen,
      over: live?.layerOf(work), opacity: live?.opacity });
    gallery?.draw({ hidden, over: live?.layerOf(work), opacity: live?.opacity });
    placeGuess();
    const one = work.kind === "points" ? "point" : "piece", count = work.pieces.length;
    const number = Math.min(work.done + 1, count);
    const rate = totals.clicks && innerWidth > 1100 ? ` · ${(totals.seconds / totals.clicks).toFixed(1)} s a ${one}` : "";
    const image = work.review ? work.name : setup.live ? `image ${totals.total}` : `image ${totals.at} of ${totals.total}`;
    $("progress").textContent = `${one} ${number} of ${count} · ${image}${rate}`;
    const share = setup.live || work.review ? work.done / count : (totals.done + work.done / count) / Math.max(1, totals.total);
    $("bar").style.width = `${100 * share}%`;
    const mode = brush
      ? "Brush: paint what is of another class, then press its key · [ ] size · Esc leaves"
      : polygon?.inside ? "Polygon: press the class of what is inside · Backspace opens it · Esc leaves"
        : polygon ? "Polygon: click or Space sets a corner, Enter closes it · Esc leaves"
        : picked.length ? `${picked.length + 1} pieces get the same class · Esc keeps only one`
          : hidden ? "Hidden · H shows it again" : away() ? "Click here, then press keys" : "";
    $("mode").textContent = mode;
    $("mode").classList.toggle("on", mode !== "");
    if (pressed) painted.port2.postMessage(pressed);
    pressed = 0;
  });
}

// Shows the guess below what is asked, or above where there is no room.
function placeGuess() {
  const guess = $("guess");
  guess.hidden = gallery || brush || polygon || hidden || chosen || work.guessAt(current) === null;
  if (guess.hidden) return;
  const [x, y, width, height] = work.box([current]), stage = $("stage").getBoundingClientRect();
  const [left, top] = view.toStage(x + width / 2, y), [, bottom] = view.toStage(x, y + height);
  const room = work.kind === "points" ? 34 : 10, high = guess.offsetHeight;
  const below = bottom + room + high < stage.height - 50 ? bottom + room : top - room - high;
  const half = guess.offsetWidth / 2 + 6;
  guess.style.left = `${Math.min(stage.width - half, Math.max(half, left))}px`;
  guess.style.top = `${Math.min(stage.height - high - 6, Math.max(6, below))}px`;
}

// Whether it is shown inside a notebook whose keys go elsewhere.
function away() { return setup.in_frame && !document.hasFocus(); }

let toastTimer;
function toast(text, bad = false) {
  $("toast").textContent = text;
  $("toast").className = bad ? "on bad" : "on";
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { $("toast").className = ""; }, bad ? 4000 : 900);
}

function flash(label) {
  const button = label === UNSURE ? document.querySelector("[data-do=unsure]")
    : $("classes").children[label].firstChild;
  button.classList.add("flash");
  setTimeout(() => button.classList.remove("flash"), 160);
}

function showSaved(state, waiting) {
  $("saved").dataset.state = state;
  $("saved").textContent = state === "saved" ? "✓ all saved"
    : state === "saving" ? `… saving ${waiting}`
      : (waiting ? `✕ ${waiting} not saved` : "✕ no server")
        + (setup.in_frame ? ": run the cell again" : ", trying again");
}

function refused(why, count) {
  toast(`${count > 1 ? `${count} answers` : "An answer"} not taken: ${why}`, true);
  ahead.clear();
  history = [];
  if (!busy) nextTask(work?.task).then(() => { if (!busy && current === null) nextTask(); });
}

async function showEnd(taken) {
  work = null; current = null;
  const rate = taken.clicks ? `${taken.clicks} answers of yours, ${(taken.seconds / taken.clicks).toFixed(1)} s each. ` : "";
  $("end").hidden = false;
  $("ask").textContent = taken.open ? "Please wait" : "All answered";
  $("hint").textContent = ""; $("progress").textContent = "";
  $("bar").style.width = taken.open ? $("bar").style.width : "100%";
  $("end-title").textContent = taken.open ? "Others answer the rest" : "All answered. Thank you!";
  $("end-text").textContent = taken.open
    ? `${rate}\n${taken.open} images are open on other pages. If one becomes free, it appears here.`
    : taken.finished ? `${rate}\nThe run in ${setup.workdir} is finished: it asks nothing more.`
      : (setup.in_frame ? `${rate}\nGo on in the notebook.\n`
        : `${rate}\nRun the same command as before again: the run in ${setup.workdir} goes on.\n`)
        + "What it asks next will appear here. Backspace takes the last answer back.";
  const now = ended = { last: taken.finished ? null : taken.last };
  ended.timer = setTimeout(() => poll(now), POLL);
  if (taken.finished) history = [];
  busy = false;
}

// Asks whether something is open now. Keys count meanwhile: Backspace may take an answer back, and
// what the server told is then out of date.
async function poll(before) {
  try {
    const taken = await talk.take(annotator);
    if (ended !== before) return;
    if (taken.task === null) await showEnd(totals = taken); else await nextTask();
  } catch (error) {
    if (ended === before) showError(error);
  }
}

function showError(error) {
  work = null; busy = true;
  $("end").hidden = false;
  document.body.dataset.failed = "";
  $("ask").textContent = "This page cannot go on";
  $("hint").textContent = $("progress").textContent = "";
  $("end-title").textContent = error instanceof Expired ? "This page’s address has expired" : "Something went wrong";
  const why = error.message.trim();
  $("end-text").textContent = `${why.charAt(0).toUpperCase()}${why.slice(1)}.\nAnswers that are not saved are kept in this browser.`;
}

function listKeys() {
  const points = work?.kind !== "segments";
  const rows = [
    [`${keys[0]} … ${keys.filter(Boolean).at(-1).toUpperCase()}`, "the class: answers and goes on"],
    ["Space", "unsure: gives no label, and goes on"],
    ["Backspace", "go back and take the answer back, as far as you like"],
    ["S", "skip for now: it comes again at the end, or to somebody else"],
    ["H", points ? "hide or show the ring" : "hide or show the outlines"],
    ["+ −", "zoom; so does the mouse wheel"],
    ["← ↑ → ↓", "move the image; so does dragging. Enter or Home comes back"],
  ];
  if (work?.guesses.some(guess => guess !== null)) {
    rows.unshift(["Enter", "the guess is right: of one, or of all that the gallery keeps"],
      ["Del", "gallery: take a crop out, it is asked alone; so does a click. Esc: ask all alone"]);
  }
  if (live) {
    rows.push(["/", "all images with what the model predicts: open one to fix it; Esc comes back"]);
    rows.push([".", "show or hide what the model predicts"], ["[ ]", "opacity of the prediction"]);
  }
  if (setup.live) rows.push([",", "show or hide what changed at the model’s last fit"]);
  if (setup.live && points) {
    rows.push(["click", "answer a pixel of your own choice; so do Shift and arrows. Esc comes back"]);
  }
  if (!points) {
    rows.push(["Shift ← ↑ → ↓", "take along the next piece on that side; so does Shift-click"],
      ["click", "answer this piece next"],
      ["B", "brush: paint a part with the mouse, or Shift and arrows; then press its class"],
      ["[ ]", "size of the brush; Alt erases"],
      ["P", "polygon: corners by clicks, or arrows (Shift: faster) and Space; Enter closes it; then its class"],
      ["Esc", "leave brush or polygon, drop taken pieces"]);
  }
  $("keys").replaceChildren(...rows.flatMap(([key, text]) => {
    const dt = document.createElement("dt"), dd = document.createElement("dd"), kbd = document.createElement("kbd");
    kbd.textContent = key; dd.textContent = text; dt.append(kbd);
    return [dt, dd];
  }));
}

function toggleHelp() {
  if ($("help").open) $("help").close(); else { listKeys(); $("help").showModal(); }
}

// ---------------------------------------------------------------------------------- keys, mouse

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const DO = { unsure: () => answer(UNSURE), back, skip, hide, brush: toggleBrush, polygon: togglePolygon };

function hide() { hidden = !hidden; draw(); }

function classOf(event) {
  const digit = /^(?:Digit|Numpad)(\d)$/.exec(event.code);
  if (digit && (!event.shiftKey || /\d/.test(event.key))) return keys.indexOf(digit[1]);
  if (!/^[a-z]$/i.test(event.key)) return -1;
  return keys.indexOf(event.shiftKey ? event.key.toUpperCase() : event.key.toLowerCase());
}

function zoomBy(step) {
  const near = ZOOMS.findIndex(z => z >= view.zoom - 1e-6);
  const next = step > 0 ? ZOOMS.findIndex(z => z > view.zoom + 1e-6) : near - 1;
  zoom = view.zoom = ZOOMS[Math.max(0, next < 0 && step > 0 ? ZOOMS.length - 1 : next)];
  if (gallery) gallery.zoom = zoom;
  draw();
}

function arrow([dx, dy], shift) {
  if (gallery) {
    gallery.move([dx, dy]);
    current = gallery.piece;
  } else if (brush) {
    brush.x += dx; brush.y += dy;
    if (shift) paint(false);
  } else if (shift && work.kind === "segments" && !polygon) {
    pickTowards(dx, dy);
  } else if (shift && setup.live && work.kind === "points") {
    const [x, y] = chosen ?? work.pieces[current], step = Math.max(1, Math.round(6 / view.zoom));
    choose(Math.min(work.width - 1, Math.max(0, x + step * dx)), Math.min(work.height - 1, Math.max(0, y + step * dy)));
  } else {
    view.x += 60 * dx / view.zoom; view.y += 60 * dy / view.zoom;
  }
  draw();
}

addEventListener("keydown", event => {
  if ($("who").open || event.ctrlKey || event.metaKey) return;
  if ($("help").open) {
    if (event.key === "?") { event.preventDefault(); $("help").close(); }
    return;
  }
  const label = classOf(event), key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.key === "Tab" || (event.altKey && key !== "Alt")) return;
  const known = label >= 0 || [" ", "Backspace", "Escape", "Enter", "Home", "Delete", ...Object.keys(ARROWS)].includes(key)
    || "shbp?+-=[]".includes(key) || (live && ".,/".includes(key));
  if (!known) return;
  if (key === "Enter" && document.activeElement?.tagName === "BUTTON") return;
  event.preventDefault();
  if (key === "?") { toggleHelp(); return; }
  if (busy) return;
  if (review?.on) {
    if (ARROWS[key]) review.move(ARROWS[key]);
    else if (key === "Enter") review.open();
    else if (key === "Escape" || key === "/") nextTask();
    return;
  }
  if (live && (key === "/" || (key === "Escape" && work?.review && !brush && !polygon && !picked.length))) {
    openReview();
    return;
  }
  if (polygon && polygonKey(key, event.shiftKey)) return;
  if (!work || (current === null && !polygon)) {
    if (key === "Backspace" && !event.repeat) back(); else if (key === "p") togglePolygon();
    return;
  }
  pressed = event.timeStamp;
  if (ARROWS[key]) arrow(ARROWS[key], event.shiftKey);
  else if (live && !brush && "[]".includes(key)) live.fade(key === "]" ? 0.1 : -0.1);
  else if (key === "+" || key === "=") zoomBy(1);
  else if (key === "-") zoomBy(-1);
  else if (event.repeat) return; // a key held down answers once
  else if (label >= 0) answer(label);
  else if (key === " ") answer(UNSURE);
  else if (key === "Backspace") back();
  else if (key === "Escape" && gallery) {
    for (const { piece } of gallery.crops) work.alone.add(piece);
    goTo(current);
  } else if (key === "Escape") { brush = polygon = chosen = null; picked = []; tellAsk(); draw(); }
  else if (key === "Delete") gallery?.take();
  else if (live && key === ".") live.toggle("prediction", work);
  else if (setup.live && key === ",") live.toggle("changes", work);
  else if (key === "Enter" && !brush && !polygon && !chosen && !picked.length && work.guessAt(current) !== null) confirm();
  else if (key === "Enter" || key === "Home") {
    if (brush) paint(false);
    else if (current !== null) view.lookAt(work, work.box([current, ...picked]), zoom);
    draw();
  } else if (brush && "[]".includes(key)) {
    brush.radius = Math.min(64, Math.max(0.5, brush.radius * (key === "]" ? 1.5 : 1 / 1.5)));
    draw();
  } else DO[{ s: "skip", h: "hide", b: "brush", p: "polygon" }[key]]?.();
});

let drag = null;
$("view").addEventListener("pointerdown", event => {
  if (busy || !work || event.button !== 0) return;
  event.preventDefault();
  window.focus();  // inside a notebook keys go to the frame that has the focus
  $("view").setPointerCapture(event.pointerId);
  drag = { x: event.clientX, y: event.clientY, moved: false };
  if (brush) { [brush.x, brush.y] = view.toImage(event.clientX, event.clientY); paint(event.altKey); draw(); }
});
$("view").addEventListener("pointermove", event => {
  if (busy || !work) return;
  if (brush) {
    [brush.x, brush.y] = view.toImage(event.clientX, event.clientY);
    if (drag) paint(event.altKey);
    draw();
  } else if (drag) {
    const dx = event.clientX - drag.x, dy = event.clientY - drag.y;
    if (!drag.moved && Math.hypot(dx, dy) < 4) return;
    view.x -= dx / view.zoom; view.y -= dy / view.zoom;
    drag = { x: event.clientX, y: event.clientY, moved: true };
    draw();
  } else if (polygon) {
    polygon.moveTo(...view.toImage(event.clientX, event.clientY));
    draw();
  }
});
$("view").addEventListener("pointerup", event => {
  const was = drag;
  drag = null;
  if (!was || was.moved || brush || busy || !work) return;
  const place = view.toImage(event.clientX, event.clientY);
  if (polygon) { setCorner(...place); return; }
  if (current === null) return;
  if (work.kind === "points") { choose(...place); return; }
  const piece = pieceAt(...place);
  if (event.shiftKey) pick(piece);
  else if (piece !== null && piece !== current) { current = piece; picked = []; tellAsk(); draw(); }
});
$("view").addEventListener("wheel", event => {
  if (busy || !work || away()) return;  // a notebook is scrolled past
  event.preventDefault();
  const [x, y] = view.toImage(event.clientX, event.clientY);
  const before = view.zoom;
  view.zoom = Math.min(32, Math.max(0.25, view.zoom * Math.exp(-event.deltaY / 400)));
  view.x = x + (view.x - x) * before / view.zoom; view.y = y + (view.y - y) * before / view.zoom;
  draw();
}, { passive: false });
$("inset").addEventListener("pointerdown", event => {
  if (busy || !work) return;
  const box = $("inset").getBoundingClientRect(), shrink = $("inset").width / view.ratio / box.width;
  view.x = ((event.clientX - box.left) * shrink - view.insetLeft) / view.insetScale;
  view.y = (event.clientY - box.top) * shrink / view.insetScale;
  draw();
});

for (const button of document.querySelectorAll("[data-do]")) {
  button.addEventListener("click", () => { DO[button.dataset.do](); button.blur(); });
}
$("help-button").addEventListener("click", () => { toggleHelp(); $("help-button").blur(); });
$("help-close").addEventListener("click", () => $("help").close());
document.addEventListener("visibilitychange", pauseClock);
new ResizeObserver(draw).observe($("stage"));
for (const change of ["focus", "blur"]) addEventListener(change, draw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
addEventListener("pagehide", () => talk?.release(annotator));
addEventListener("beforeunload", event => { if (talk?.waiting.length) event.preventDefault(); });

// --------------------------------------------------------------------------------------- begin

$("classes").replaceChildren(...setup.classes.map(({ name }, i) => {
  const item = document.createElement("li"), button = document.createElement("button");
  const kbd = document.createElement("kbd"), text = document.createElement("span");
  kbd.textContent = keys[i] ? (/[A-Z]/.test(keys[i]) ? `⇧${keys[i]}` : keys[i].toUpperCase()) : "–";
  text.textContent = name; button.title = name;
  button.append(kbd, swatch(looks[i]), text);
  button.addEventListener("click", () => { answer(i); button.blur(); });
  item.append(button);
  return item;
}));

if (!annotator) {
  $("annotator").value = localStorage.getItem("labor_jax:annotator") ?? "";
  $("who").addEventListener("cancel", event => event.preventDefault());
  $("who").showModal();
  await new Promise(resolve => $("who").addEventListener("close", resolve, { once: true }));
  annotator = $("annotator").value.trim() || "anonymous";
  localStorage.setItem("labor_jax:annotator", annotator);
  sessionStorage.setItem("labor_jax:annotator", annotator);
}
let client = sessionStorage.getItem("labor_jax:client");
if (!client) sessionStorage.setItem("labor_jax:client", client = makeId());
talk = new Talk(setup.run, client, { onState: showSaved, onRefused: refused, onExpired: showError });
talk.tell();
if (setup.review) {
  document.body.dataset.reviewed = "";
  if (setup.live) document.body.dataset.live = "";
  live = new Live(talk, setup.classes, looks, draw, setup.live ? POLL_LIVE : POLL);
  for (const button of document.querySelectorAll("[data-show]")) {
    button.addEventListener("click", () => { live.toggle(button.dataset.show, work); button.blur(); });
  }
  review = new Review(talk, looks, nextTask);
  for (const button of document.querySelectorAll("[data-review]")) {
    button.addEventListener("click", () => { button.blur(); if (!busy) openReview(); });
  }
  $("opacity").addEventListener("input", event => live.fade(Number(event.target.value) - live.opacity));
  $("opacity").addEventListener("change", event => event.target.blur());
}
$("as").textContent = `as ${annotator}`;
await nextTask();
setInterval(() => {
  if (busy || !work || work.review) return;
  const { task } = work;
  talk.flush().then(() => talk.post("/api/take", { annotator, want: task })).then(taken => {
    if (!busy && work?.task === task && taken.task !== task) nextTask();
  }).catch(error => { if (error instanceof Expired) showError(error); });
}, HEARTBEAT);
