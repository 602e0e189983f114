// Tars made by hand, so that they can say what no tar program would: any name, any
// link, devices. tar({name: text | Buffer | {text, link, hardlink, fifo, device, directory, mode}}).
export function tar(entries) {
  const blocks = []
  for (const [name, value] of Object.entries(entries)) {
    const entry = typeof value === 'string' || Buffer.isBuffer(value) ? { text: value } : value
    const data = Buffer.from(entry.text ?? '')
    const type = entry.link ? '2' : entry.hardlink ? '1' : entry.fifo ? '6' : entry.device ? '3' : entry.directory ? '5' : '0'
    if (Buffer.byteLength(name) > 100) blocks.push(header({ name: '././@LongLink', size: Buffer.byteLength(name) + 1, type: 'L' }), padded(Buffer.from(`${name}\0`)))
    blocks.push(header({ name: name.slice(0, 100), size: data.length, type, link: entry.link ?? entry.hardlink ?? '', mode: entry.mode ?? (type === '5' ? 0o755 : 0o644), device: entry.device }), padded(data))
  }
  return Buffer.concat([...blocks, Buffer.alloc(1024)])
}

const padded = (data) => Buffer.concat([data, Buffer.alloc((512 - (data.length % 512)) % 512)])

function header({ name, size, type, link = '', mode = 0o644, device }) {
  const block = Buffer.alloc(512)
  const octal = (value, at, length) => block.write(`${value.toString(8).padStart(length - 1, '0')}\0`, at)
  block.write(name, 0, 100)
  octal(mode, 100, 8)
  octal(0, 108, 8)
  octal(0, 116, 8)
  octal(size, 124, 12)
  octal(1_700_000_000, 136, 12)
  block.write('        ', 148)
  block.write(type, 156)
  block.write(link, 157, 100)
  block.write('ustar  \0', 257)
  if (device) {
    octal(device[0], 329, 8)
    octal(device[1], 337, 8)
  }
  octal(block.reduce((sum, byte) => sum + byte, 0), 148, 7)
  return block
}
