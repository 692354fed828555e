// Talking to the server. What was said and is not known to be saved is kept in the browser's
// storage and sent again until the server has it: each answer has an id, so none is written twice.

const RETRY = [300, 1000, 2000, 4000];

export class Expired extends Error {}
export class Gone extends Error {}  // an image that was there a moment ago

export class Talk {
  // `onState(state, waiting)` with "saved" | "saving" | "failed"; `onRefused(why, count)`;
  // `onExpired(error)`.
  constructor(run, client, { onState, onRefused, onExpired }) {
    this.client = client;
    this.onState = onState;
    this.onRefused = onRefused;
    this.onExpired = onExpired;
    this.key = `labor_jax:${run}:${client}`;
    this.waiting = [];
    this.sending = null;
    this.failures = 0;
    this.opened = true;
    for (const key of Object.keys(localStorage).filter(k => k.startsWith(`labor_jax:${run}:`))) {
      try { this.waiting.push(...JSON.parse(localStorage.getItem(key))); } catch { /* not ours */ }
      if (key !== this.key) localStorage.removeItem(key);
    }
    this.keep();
  }

  // Queues answers: [{id, task, ...}] of one annotator.
  say(annotator, answers) {
    this.waiting.push(...answers.map(answer => ({ annotator, answer })));
    this.keep();
    this.tell();
    this.flush().catch(this.onExpired);
  }

  // Resolves when nothing waits; rejects only when the address has expired.
  flush() {
    this.sending ??= this.send().finally(() => { this.sending = null; });
    return this.sending;
  }

  async send() {
    while (this.waiting.length) {
      const { annotator } = this.waiting[0];
      let count = this.waiting.findIndex(w => w.annotator !== annotator);
      count = Math.min(count < 0 ? this.waiting.length : count, 200);
      const answers = this.waiting.slice(0, count).map(w => w.answer);
      try {
        const told = await this.post("/api/answers", { annotator, answers });
        this.waiting.splice(0, count);
        this.failures = 0;
        this.keep();
        this.tell();
        const reasons = Object.values(told.refused);
        if (reasons.length) this.onRefused(reasons[0], reasons.length);
      } catch (error) {
        this.failures += 1;
        this.tell();
        if (error instanceof Expired) throw error;
        const pause = RETRY[Math.min(this.failures, RETRY.length) - 1];
        await new Promise(resolve => setTimeout(resolve, pause));
      }
    }
  }

  // The best task for this page; tries until the server is there.
  async take(annotator, want) {
    for (;;) {
      await this.flush();
      try {
        const taken = await this.post("/api/take", { annotator, want, opened: this.opened });
        this.failures = 0;
        this.opened = false;
        this.tell();
        return taken;
      } catch (error) {
        if (error instanceof Expired) throw error;
        this.failures += 1;
        this.tell();
        await new Promise(resolve => setTimeout(resolve, 1000));
      }
    }
  }

  release(annotator) {
    const body = JSON.stringify({ client: this.client, annotator });
    fetch("/api/release", { method: "POST", body, keepalive: true }).catch(() => {});
  }

  async post(path, said) {
    const body = JSON.stringify({ client: this.client, ...said });
    return (await answered(await fetch(path, { method: "POST", body }))).json();
  }

  // A body as "json" or "blob"; tries until the server is there.
  async get(path, kind) {
    for (;;) {
      try {
        const body = await (await answered(await fetch(path)))[kind]();
        if (this.failures) { this.failures = 0; this.tell(); }
        return body;
      } catch (error) {
        if (!(error instanceof TypeError)) throw error;  // what fetch says of a dead server
        this.failures += 1;
        this.tell();
        await new Promise(resolve => setTimeout(resolve, 1000));
      }
    }
  }

  tell() {
    const state = this.failures ? "failed" : this.waiting.length ? "saving" : "saved";
    this.onState(state, this.waiting.length);
  }

  keep() {
    if (this.waiting.length) localStorage.setItem(this.key, JSON.stringify(this.waiting));
    else localStorage.removeItem(this.key);
  }
}

async function answered(response) {
  if (response.status === 403 || response.status === 429) throw new Expired(await response.text());
  if (response.status === 410) throw new Gone(await response.text());
  if (!response.ok) throw new Error(await response.text());
  return response;
}
