/* tar.js - a small archive of plain files, for uploads. */
const encoder = new TextEncoder();

/** @param {{name: string, data: Uint8Array, time?: number}[]} files @returns {Blob} */
export function tar(files) {
  const parts = [];
  for (const { name, data, time = Date.now() } of files) {
    const short = encoder.encode(name);
    if (short.length > 100) parts.push(...entry('path', paxRecord('path', name), time, 'x'));
    parts.push(...entry(name, data, time, '0'));
  }
  parts.push(new Uint8Array(1024));
  return new Blob(parts);
}

function paxRecord(key, value) {
  const body = ' ' + key + '=' + value + '\n';
  const bytes = encoder.encode(body).length;
  let length = bytes + String(bytes).length;
  if (String(length).length !== String(bytes).length) length = bytes + String(length).length;
  return encoder.encode(length + body);
}

function entry(name, data, time, type) {
  const head = new Uint8Array(512);
  const put = (text, at, size) => head.set(encoder.encode(text).subarray(0, size), at);
  const octal = (value, at, size) => put(value.toString(8).padStart(size - 1, '0'), at, size - 1);
  put(name, 0, 100);
  octal(0o644, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(data.length, 124, 12);
  octal(Math.floor(time / 1000), 136, 12);
  put('        ', 148, 8);
  put(type, 156, 1);
  put('ustar\u000000', 257, 8);
  octal(head.reduce((sum, byte) => sum + byte, 0), 148, 7);
  head[155] = 0x20;
  return [head, data, new Uint8Array((512 - (data.length % 512)) % 512)];
}
