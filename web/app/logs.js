/* logs.js - from the bytes of Docker's logs to lines. No DOM here. */

/** Takes multiplexed frames (8-byte heads) or, with a terminal, raw bytes. */
export class LogReader {
  /** @param {boolean} tty */
  constructor(tty) {
    this.tty = tty;
    this.buffer = new Uint8Array(0);
    this.rest = ['', '', ''];
    this.decoders = [0, 1, 2].map(() => new TextDecoder('utf-8', { fatal: false }));
  }
  /** @param {Uint8Array} chunk @returns {{stream: number, time: string, text: string}[]} */
  push(chunk) {
    if (this.tty) return this.lines(1, chunk);
    const joined = new Uint8Array(this.buffer.length + chunk.length);
    joined.set(this.buffer);
    joined.set(chunk, this.buffer.length);
    const out = [];
    let at = 0;
    while (joined.length - at >= 8) {
      const length = new DataView(joined.buffer, at + 4).getUint32(0);
      if (joined.length - at - 8 < length) break;
      out.push(...this.lines(joined[at] === 2 ? 2 : 1, joined.subarray(at + 8, at + 8 + length)));
      at += 8 + length;
    }
    this.buffer = joined.slice(at);
    return out;
  }
  lines(stream, bytes) {
    const text = this.rest[stream] + this.decoders[stream].decode(bytes, { stream: true });
    const parts = text.split('\n');
    this.rest[stream] = parts.pop() ?? '';
    return parts.map((line) => splitTime(stream, line));
  }
  end() {
    const out = [];
    for (const stream of [1, 2]) if (this.rest[stream]) out.push(splitTime(stream, this.rest[stream]));
    this.rest = ['', '', ''];
    return out;
  }
}

function splitTime(stream, line) {
  const found = /^(\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)) ?/.exec(line);
  const text = (found ? line.slice(found[0].length) : line).replace(/\r$/, '');
  return { stream, time: found ? found[1] : '', text: stripAnsi(text) };
}
/* eslint-disable-next-line no-control-regex */
const ansi = /\u001b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[@-Z\\-_])/g;
export const stripAnsi = (text) => text.replace(ansi, '');

const words = [
  ['error', /\b(?:fatal|panic|emerg|alert|critical|crit|error|err|fail(?:ed|ure)?|exception)\b/i],
  ['warn', /\b(?:warn|warning)\b/i],
  ['debug', /\b(?:debug|trace)\b/i],
  ['info', /\b(?:info|notice)\b/i],
];
/** What a line says of itself ("level=warn", "severity":"ERROR") goes before words that stand in it.
 * @param {string} text @returns {'error'|'warn'|'info'|'debug'|''} */
export function levelOf(text) {
  const head = text.slice(0, 240);
  const said = /\b(?:level|lvl|severity|loglevel)["']?\s*[=:]\s*["']?([a-z]+)/i.exec(head)?.[1];
  for (const [level, word] of words) if (/** @type {RegExp} */ (word).test(said ?? head.slice(0, 160))) return /** @type {any} */ (level);
  return '';
}

/** How many rows a line takes in so many columns; the wide characters of East Asia take two. @param {string} text @param {number} columns */
export function rowsOf(text, columns) {
  let width = text.length;
  if (/[^\u0000-\u10ff]/.test(text)) { width = 0; for (const c of text) width += /** @type {number} */ (c.codePointAt(0)) >= 0x1100 ? 2 : 1; }
  return Math.max(1, Math.ceil(width / Math.max(1, columns)));
}
