/* tar.js - archives for uploads, and what is in the first file of one that came.
 * Contents are parts of a Blob: files from disk are not read into memory. */
const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: false });
const BLOCK = 512;

/** @param {{name: string, data?: Uint8Array|Blob, time?: number, mode?: number}[]} files a name that ends in a slash is a folder @returns {Blob} */
export function tar(files) {
  const parts = [];
  for (const { name, data = new Uint8Array(0), time = Date.now(), mode } of files) {
    const size = data instanceof Blob ? data.size : data.length;
    const records = [];
    if (encoder.encode(name).length > 100) records.push(paxRecord('path', name));
    if (size >= 8 ** 11) records.push(paxRecord('size', String(size)));
    if (records.length) {
      const body = encoder.encode(records.join(''));
      parts.push(header('path', body.length, time, 0o644, 'x'), ...padded(body, body.length));
    }
    const folder = name.endsWith('/');
    parts.push(header(name, size < 8 ** 11 ? size : 0, time, mode ?? (folder ? 0o755 : 0o644), folder ? '5' : '0'), ...padded(data, size));
  }
  parts.push(new Uint8Array(2 * BLOCK));
  return new Blob(parts);
}

function paxRecord(key, value) {
  const body = ' ' + key + '=' + value + '\n';
  const bytes = encoder.encode(body).length;
  let length = bytes + String(bytes).length;
  if (String(length).length !== String(bytes).length) length = bytes + String(length).length;
  return length + body;
}
const padded = (data, size) => [data, new Uint8Array((BLOCK - (size % BLOCK)) % BLOCK)];

function header(name, size, time, mode, type) {
  const head = new Uint8Array(BLOCK);
  const put = (text, at, length) => head.set(encoder.encode(text).subarray(0, length), at);
  const octal = (value, at, length) => put(value.toString(8).padStart(length - 1, '0'), at, length - 1);
  put(name, 0, 100);
  octal(mode, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(size, 124, 12);
  octal(Math.floor(time / 1000), 136, 12);
  put('        ', 148, 8);
  put(type, 156, 1);
  put('ustar\u000000', 257, 8);
  octal(head.reduce((sum, byte) => sum + byte, 0), 148, 7);
  head[155] = 0x20;
  return head;
}

/**
 * The first file of an archive, as far as its bytes are at hand.
 * @param {Uint8Array} bytes @returns {{size: number, data: Uint8Array, type: string}|null}
 */
export function firstFile(bytes) {
  let pax = /** @type {number|null} */ (null);
  for (let at = 0; at + BLOCK <= bytes.length && bytes[at];) {
    const text = (from, length) => decoder.decode(bytes.subarray(at + from, at + from + length)).replace(/\0.*$/s, '');
    const size = pax ?? parseInt(text(124, 12), 8);
    const type = String.fromCharCode(bytes[at + 156] || 0x30);
    if (!(size >= 0)) return null;
    const data = bytes.subarray(at + BLOCK, at + BLOCK + size);
    if (/[0127]/.test(type)) return { size, data, type };
    pax = null;
    if (type === 'x') pax = Number(/(?:^|\n)\d+ size=(\d+)\n/.exec(decoder.decode(data))?.[1] ?? NaN);
    if (Number.isNaN(pax)) pax = null;
    at += BLOCK + Math.ceil(size / BLOCK) * BLOCK;
  }
  return null;
}
