// The newest model: its prediction and, where it learns meanwhile, what changed and how good it is.

import { put } from "./patterns.js";
import { canvasOf } from "./work.js";

const SLOW = 1000; // ms at least between two questions of a hidden page whether there is a newer model
const CHANGED = [255, 225, 77];
const $ = id => document.getElementById(id);

const ADVICE = {
  little: "More clicks of this kind hardly help any more.",
  helps: "More clicks still help.",
  unclear: "It cannot be told yet whether more clicks help.",
};

// "12.3 points (90 %: 4.5 to 20.1)".
function interval(value, low, high, unit) {
  if (low === null) return `${value.toFixed(1)}${unit} (of too few images to say how sure)`;
  return `${value.toFixed(1)}${unit} (90 %: ${low.toFixed(1)} to ${high.toFixed(1)})`;
}

export class Live {
  // `talk` to ask with, the `classes` with their names and `looks`, `onChange` to draw anew, `pause`
  // the ms between two questions whether there is a newer model.
  constructor(talk, classes, looks, onChange, pause) {
    Object.assign(this, { talk, classes, looks, onChange, pause });
    this.reviewing = false;
    this.mode = "";        // "", "prediction" or "changes"
    this.opacity = 0.5;
    this.told = { version: -1 };
    this.task = null;      // whose prediction is held
    this.prediction = null; // {version, classes: Uint8Array, layer: canvas, changed: canvas, share}
    this.curve = [];       // [clicks, mIoU, low, high] of each model
    this.poll();
  }

  get on() { return this.mode !== ""; }

  // What an answer about runs [start, length, ...] was given with, with the guess at most of their
  // pixels; undefined where no prediction was in sight.
  shownAt(work, runs) {
    const held = this.on && this.task === work.task ? this.prediction : null;
    if (!held) return undefined;
    const counts = this.classes.map(() => 0);
    for (let i = 0; i < runs.length; i += 2) {
      for (let at = runs[i]; at < runs[i] + runs[i + 1]; at++) counts[held.classes[at]] += 1;
    }
    return { model: held.version, guess: counts.indexOf(Math.max(...counts)) };
  }

  // The layer to draw over an image, or null.
  layerOf(work) {
    if (!this.on || this.task !== work.task || !this.prediction) return null;
    return this.mode === "changes" ? this.prediction.changed : this.prediction.layer;
  }

  toggle(mode, work) {
    this.mode = this.mode === mode ? "" : mode;
    this.follow(work);
    this.show();
    this.onChange();
  }

  // Shows the prediction in a review, where it is what is looked at, and hides it for questions.
  review(on) {
    if (this.reviewing === on) return;
    this.reviewing = on;
    this.mode = on ? "prediction" : "";
    this.show();
  }

  fade(step) {
    this.opacity = Math.min(1, Math.max(0.1, this.opacity + step));
    $("opacity").value = this.opacity;
    this.onChange();
  }

  async poll() {
    for (;;) {
      try {
        const told = await this.talk.get(`/api/model?since=${this.told.version}`, "json");
        this.curve = told.curve ?? this.curve;
        this.told = told;
        this.show();
        await this.follow(this.work);
      } catch { /* the page tells of a server that is gone */ }
      const pause = document.hidden ? Math.max(SLOW, this.pause) : this.pause;
      await new Promise(resolve => setTimeout(resolve, pause));
    }
  }

  // Fetches the newest prediction of a task's image, where it is to be seen.
  async follow(work) {
    this.work = work;
    if (!work || !this.on || this.fetching) return;
    const known = this.task === work.task ? this.prediction : null;
    if (known?.version === this.told.version) return;
    this.fetching = true;
    try {
      const response = await fetch(`/api/prediction?id=${encodeURIComponent(work.task)}`);
      if (response.status !== 200) return;
      const version = Number(response.headers.get("X-Model"));
      const image = await createImageBitmap(await response.blob(), { colorSpaceConversion: "none" });
      this.take(work, version, image, known);
    } finally { this.fetching = false; }
  }

  take(work, version, image, before) {
    const { width, height } = work, canvas = canvasOf(width, height);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    const read = context.getImageData(0, 0, width, height).data;
    const classes = new Uint8Array(width * height);
    const tint = new ImageData(width, height), news = new ImageData(width, height);
    let changed = 0;
    for (let at = 0; at < classes.length; at++) {
      classes[at] = read[4 * at];
      put(tint.data, 4 * at, at % width, Math.floor(at / width), this.looks[classes[at]], 255);
      if (before && before.classes[at] !== classes[at]) {
        changed += 1;
        news.data.set([...CHANGED, 255], 4 * at);
      }
    }
    const layer = canvasOf(width, height), changes = canvasOf(width, height);
    layer.getContext("2d").putImageData(tint, 0, 0);
    changes.getContext("2d").putImageData(news, 0, 0);
    this.task = work.task;
    this.prediction = {
      version, classes, layer, changed: changes, share: before ? changed / classes.length : null,
    };
    document.body.dataset.model = version;
    this.show();
    this.onChange();
  }

  // Writes what is known of the model into the page.
  show() {
    const { told } = this, held = this.task === this.work?.task ? this.prediction : null;
    const minutes = (told.seconds ?? 0) / 60;
    $("live-spent").textContent = `${told.clicks ?? 0} clicks in ${minutes.toFixed(1)} min`;
    $("live-state").textContent = told.error ? `The model stopped learning: ${told.error}`
      : told.version < 0 ? `Getting ready: ${told.made ?? 0} of ${told.images ?? "…"} images looked at. The first questions are random.`
        : !told.fitted ? "No answer to learn from yet." : `Learnt from ${told.training} answers${told.pseudo ? ` and ${told.pseudo} pseudo answers` : ""}.`;
    $("live-score").textContent = told.held
      ? `mIoU ${interval(told.mIoU, told.low, told.high, "")} on ${told.held} held answers`
      : "mIoU: no held answers yet";
    $("live-advice").textContent = told.gain
      ? `${ADVICE[told.advice]} The second half of them gained ${interval(told.gain.gain, told.gain.low, told.gain.high, " points")}.`
      : told.version < 0 ? "" : `Whether more clicks help is told from ${told.enough} held answers on.`;
    const lacking = (told.lacking ?? []).map(i => `${this.classes[i].name} (${told.counts[i]})`);
    $("live-lacking").textContent = told.version < 0 ? "–"
      : lacking.length ? lacking.join(", ") : "none: each has five or more";
    $("live-change").textContent = !this.on ? ""
      : !held ? "No prediction of this image yet."
        : held.share === null ? "" : `${(100 * held.share).toFixed(1)} % of this image changed at the last fit.`;
    for (const button of document.querySelectorAll("[data-show]")) {
      button.setAttribute("aria-pressed", button.dataset.show === this.mode);
    }
    this.drawCurve();
  }

  // mIoU against clicks, with its interval.
  drawCurve() {
    const canvas = $("curve"), ratio = window.devicePixelRatio || 1;
    const box = canvas.getBoundingClientRect();
    canvas.width = Math.round(box.width * ratio); canvas.height = Math.round(box.height * ratio);
    const context = canvas.getContext("2d"), style = getComputedStyle(document.body);
    const left = 26 * ratio, right = 8 * ratio, top = 6 * ratio, bottom = 16 * ratio;
    const width = canvas.width - left - right, height = canvas.height - top - bottom;
    const most = Math.max(10, ...this.curve.map(point => point[0]));
    const x = clicks => left + width * clicks / most, y = iou => top + height * (1 - iou / 100);
    context.font = `${11 * ratio}px system-ui, sans-serif`;
    context.fillStyle = style.getPropertyValue("--soft");
    context.strokeStyle = style.getPropertyValue("--line");
    context.textBaseline = "middle"; context.textAlign = "right";
    for (const iou of [0, 50, 100]) {
      context.fillText(iou, left - 4 * ratio, y(iou));
      context.beginPath(); context.moveTo(left, y(iou)); context.lineTo(left + width, y(iou));
      context.stroke();
    }
    context.textBaseline = "bottom";
    context.fillText(`${most} clicks`, canvas.width - right, canvas.height);
    if (!this.curve.length) return;
    context.fillStyle = context.strokeStyle = style.getPropertyValue("--accent");
    context.globalAlpha = 0.22;
    context.beginPath();
    const sure = this.curve.filter(([, , low]) => low !== null);
    sure.forEach(([clicks, , low]) => context.lineTo(x(clicks), y(low)));
    sure.toReversed().forEach(([clicks, , , high]) => context.lineTo(x(clicks), y(high)));
    context.fill();
    context.globalAlpha = 1; context.lineWidth = 2 * ratio;
    context.beginPath();
    this.curve.forEach(([clicks, iou]) => context.lineTo(x(clicks), y(iou)));
    context.stroke();
    const [clicks, iou] = this.curve.at(-1);
    context.beginPath(); context.arc(x(clicks), y(iou), 3 * ratio, 0, 2 * Math.PI); context.fill();
  }
}
