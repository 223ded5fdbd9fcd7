// One stream for all visible tabs of a browser. The tab that holds the lock reads the EventSource
// for everybody and passes messages on by BroadcastChannel; when it goes, the next one takes over.
// Without locks or channels (an insecure address) each tab reads a stream of its own.

const NAME = "synthweb-stream";
const GATHER_MS = 60; // tabs that say at the same time what they want cost one new connection
const MAX_TOPICS = 60; // of one stream, as the server allows

/** @typedef {{message: (name: string, detail: any) => void, again: () => void, lost: (lost: boolean) => void}} Ears */

export class Tabs {
  /** @param {() => string[]} topics what this tab wants now @param {Ears} ears */
  constructor(topics, ears) {
    this.topics = topics;
    this.ears = ears;
    this.id = `${Date.now()}-${Math.random()}`;
    this.shared = Boolean(navigator.locks && window.BroadcastChannel);
    /** What the others want. @type {Map<string, string[]>} */
    this.others = new Map();
    this.stream = new Stream((kind, ...rest) => this.pass(kind, ...rest));
    this.joined = 0;
    if (!this.shared) return;
    this.channel = new BroadcastChannel(NAME);
    this.channel.addEventListener("message", ({ data }) => this.hear(data));
  }

  join() {
    if (this.leaving) return;
    if (this.joined++ > 0) this.ears.again();
    if (!this.shared) {
      this.leaving = () => this.stream.close();
      this.stream.open(this.topics(), []);
      return;
    }
    const waiting = new AbortController();
    this.leaving = () => waiting.abort();
    this.say({ want: this.topics() });
    navigator.locks.request(NAME, { signal: waiting.signal }, () => this.lead()).catch(() => undefined);
  }

  /** Hold the lock until this tab leaves. */
  lead() {
    return new Promise((release) => {
      if (!this.leaving) return release(undefined);
      this.leads = true;
      this.fresh = this.topics();
      this.leaving = () => {
        this.leads = false;
        this.stream.close();
        this.others.clear();
        release(undefined);
      };
      this.say({ who: true });
      this.gather();
    });
  }

  leave() {
    this.leaving?.();
    this.leaving = null;
    clearTimeout(this.gathering);
    if (this.shared) this.say({ gone: true });
  }

  /** @param {Record<string, any>} words */
  say(words) {
    this.channel.postMessage({ tab: this.id, ...words });
  }

  /** @param {any} data */
  hear(data) {
    if (!this.leaving) return;
    if (this.leads) {
      if (data.gone) this.others.delete(data.tab);
      if (data.want) {
        this.others.set(data.tab, data.want);
        this.fresh.push(...data.want);
        this.gather();
      }
    } else if (data.who) this.say({ want: this.topics() });
    else if (data.kind) this.ears[data.kind](...data.rest);
  }

  /** Open the stream for what all tabs want, unless it brings that already. */
  gather() {
    clearTimeout(this.gathering);
    this.gathering = setTimeout(() => {
      if (!this.leads) return;
      this.stream.open(this.fresh, [this.topics(), ...this.others.values()].flat());
      this.fresh = [];
    }, GATHER_MS);
  }

  /** To this tab and to the others. @param {keyof Ears} kind @param {any[]} rest */
  pass(kind, ...rest) {
    this.ears[kind](...rest);
    if (this.others.size) this.say({ kind, rest });
  }
}

/** An EventSource that knows how far it is in each run. */
class Stream {
  /** @param {(kind: keyof Ears, ...rest: any[]) => void} pass */
  constructor(pass) {
    this.pass = pass;
    /** Topic without position → seq from which it is wanted (runs only). @type {Map<string, number>} */
    this.wanted = new Map();
    this.source = null;
  }

  /** @param {string[]} fresh wanted from their positions; may hold a run twice
   * @param {string[]} still wanted as before: from where this stream stands */
  open(fresh, still) {
    const wanted = new Map();
    for (const topic of still) {
      const [key] = parse(topic);
      if (this.wanted.has(key)) wanted.set(key, this.wanted.get(key));
    }
    for (const [key, seq] of fresh.map(parse)) wanted.set(key, Math.min(wanted.get(key) ?? Infinity, seq));
    const covered = [...wanted].every(([key, seq]) => this.wanted.has(key) && seq >= this.wanted.get(key));
    if (this.source && covered) return;
    this.close();
    this.wanted = new Map([...wanted].slice(-MAX_TOPICS));
    this.connect();
  }

  connect() {
    const names = [...this.wanted].map(([key, seq]) => (key.startsWith("run:") ? `${key}:${seq}` : key));
    const source = new EventSource(`/stream/?${names.map((name) => `topic=${encodeURIComponent(name)}`).join("&")}`);
    this.source = source;
    let opened = false;
    for (const name of ["run", "live", "pages"]) {
      source.addEventListener(name, (event) => {
        this.keep(event.lastEventId);
        this.pass("message", name, JSON.parse(event.data));
      });
    }
    source.onopen = () => {
      this.pass("lost", false);
      if (opened) this.pass("again");
      opened = true;
    };
    source.onerror = () => {
      this.pass("lost", true);
      if (source.readyState !== EventSource.CLOSED || this.source !== source) return;
      this.close();
      this.retry = setTimeout(() => this.connect(), 3000);
    };
  }

  /** Where each run stands; tabs drop what they have heard. @param {string} id like `31:120,32:7` */
  keep(id) {
    for (const part of id.split(",")) {
      const [run, seq] = part.split(":");
      if (run && seq) this.wanted.set(`run:${run}`, Number(seq));
    }
  }

  close() {
    clearTimeout(this.retry);
    this.source?.close();
    this.source = null;
  }
}

/** A topic without position, and its position. @param {string} topic @returns {[string, number]} */
function parse(topic) {
  const [word, run, seq] = topic.split(":");
  return word === "run" ? [`run:${run}`, Number(seq ?? 0)] : [topic, 0];
}
