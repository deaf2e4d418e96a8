// Loads what is wanted soon, most urgent first, keeps what was wanted lately, and gives up what nobody waits for.

export class Loader {
  #entries = new Map(); // key -> {value, size}, the longest unused first
  #loading = new Map(); // key -> {promise, abort}
  #wanted = [];
  #bytes = 0;

  /**
   * @param load (key, signal) => Promise of a value
   * @param size bytes of a value
   * @param limit bytes that may be cached
   * @param atOnce how many requests may be under way: a browser opens six connections to one server
   * @param arrived called with the key when a value came
   * @param failed called with the error of a load that was not given up
   * @param discard called with a value that is no longer cached
   */
  constructor({ load, size, limit, atOnce, arrived, failed, discard = () => {} }) {
    Object.assign(this, { load, size, limit, atOnce, arrived, failed, discard });
  }

  peek(key) {
    const entry = this.#entries.get(key);
    if (!entry) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return entry.value;
  }

  has(key) {
    return this.#entries.has(key);
  }

  put(key, value) {
    this.drop(key);
    const size = this.size(value);
    this.#entries.set(key, { value, size });
    this.#bytes += size;
    for (const oldest of this.#entries.keys()) {
      if (this.#bytes <= this.limit || oldest === key) break;
      if (!this.#wanted.includes(oldest)) this.drop(oldest);
    }
  }

  drop(key) {
    const entry = this.#entries.get(key);
    if (!entry) return;
    this.#entries.delete(key);
    this.#bytes -= entry.size;
    this.discard(entry.value);
  }

  clear() {
    this.want([]);
    for (const key of [...this.#entries.keys()]) this.drop(key);
  }

  /** Says what is wanted, most urgent first; what is under way and not in the list is given up. */
  want(keys) {
    this.#wanted = keys;
    for (const [key, { abort }] of this.#loading) if (!keys.includes(key)) abort.abort();
    this.#pump();
  }

  /** One value, now; undefined if it was given up. */
  async fetch(key) {
    if (this.has(key)) return this.peek(key);
    if (!this.#wanted.includes(key)) this.#wanted = [key, ...this.#wanted];
    await this.#begin(key);
    return this.peek(key);
  }

  #pump() {
    for (const key of this.#wanted) {
      if (this.#loading.size >= this.atOnce) return;
      if (!this.has(key) && !this.#loading.has(key)) this.#begin(key);
    }
  }

  #begin(key) {
    const under = this.#loading.get(key);
    if (under) return under.promise;
    const abort = new AbortController();
    const promise = this.load(key, abort.signal)
      .then((value) => {
        if (abort.signal.aborted) return this.discard(value);
        this.put(key, value);
        this.arrived(key);
      })
      .catch((error) => {
        if (!abort.signal.aborted) {
          this.#wanted = this.#wanted.filter((other) => other !== key);
          this.failed(error);
        }
      })
      .finally(() => {
        if (this.#loading.get(key)?.abort === abort) this.#loading.delete(key);
        this.#pump();
      });
    this.#loading.set(key, { promise, abort });
    return promise;
  }
}
