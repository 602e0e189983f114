// A WebSocket client of few lines, over a unix socket or TLS, that also shows what
// a handshake was refused with. Node 20 has none of its own.
import crypto from 'node:crypto'
import http from 'node:http'
import https from 'node:https'

export class WebSocketClient {
  messages = []
  #waiting = []
  #data = Buffer.alloc(0)

  // target: {socketPath} or {host, port, tls: true}; gives {status} when refused.
  static connect(target, path, headers = {}) {
    return new Promise((resolve, reject) => {
      const request = (target.tls ? https : http).request({
        ...target, path, agent: false, rejectUnauthorized: false,
        headers: {
          Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13',
          'Sec-WebSocket-Key': crypto.randomBytes(16).toString('base64'), ...headers,
        },
      })
      request.on('upgrade', (response, socket, head) => resolve(new WebSocketClient(socket, head)))
      request.on('response', (response) => { response.resume(); resolve({ status: response.statusCode }) })
      request.on('error', reject)
      request.end()
    })
  }

  constructor(socket, head) {
    this.socket = socket
    this.status = 101
    socket.on('data', (chunk) => this.#take(chunk))
    socket.on('error', () => {})
    socket.on('close', () => { this.ended = true; this.#wake() })
    if (head.length) this.#take(head)
  }

  #take(chunk) {
    this.#data = Buffer.concat([this.#data, chunk])
    for (;;) {
      if (this.#data.length < 2) return
      let length = this.#data[1] & 127
      let at = 2
      if (length === 126) { if (this.#data.length < 4) return; length = this.#data.readUInt16BE(2); at = 4 }
      else if (length === 127) { if (this.#data.length < 10) return; length = Number(this.#data.readBigUInt64BE(2)); at = 10 }
      if (this.#data.length < at + length) return
      const opcode = this.#data[0] & 15
      const payload = Buffer.from(this.#data.subarray(at, at + length))
      this.#data = this.#data.subarray(at + length)
      if (opcode === 9) this.#frame(10, payload)
      else if (opcode === 8) { this.closeCode = payload.length >= 2 ? payload.readUInt16BE(0) : 0; this.#frame(8, payload.subarray(0, 2)) }
      else if (opcode === 1) this.messages.push(JSON.parse(payload.toString()))
      else if (opcode === 2) this.messages.push(payload)
      this.#wake()
    }
  }

  #wake() { for (const wake of this.#waiting.splice(0)) wake() }

  #frame(opcode, payload) {
    const mask = crypto.randomBytes(4)
    const head = payload.length < 126 ? Buffer.from([128 | opcode, 128 | payload.length])
      : Buffer.from([128 | opcode, 254, payload.length >> 8, payload.length & 255])
    const body = Buffer.from(payload.map((byte, i) => byte ^ mask[i % 4]))
    this.socket.write(Buffer.concat([head, mask, body]))
  }

  send(message) { this.#frame(1, Buffer.from(typeof message === 'string' ? message : JSON.stringify(message))) }
  sendBytes(bytes) { this.#frame(2, Buffer.from(bytes)) }

  // The first message, taken out, that fits.
  async take(what, fits, timeout = 30_000) {
    const end = Date.now() + timeout
    for (;;) {
      const index = this.messages.findIndex(fits)
      if (index >= 0) return this.messages.splice(index, 1)[0]
      if (this.ended || Date.now() > end) throw new Error(`no ${what}; ${this.ended ? `closed (${this.closeCode})` : 'timed out'}; have ${JSON.stringify(this.messages).slice(0, 500)}`)
      await new Promise((resolve) => { this.#waiting.push(resolve); setTimeout(resolve, 500) })
    }
  }

  async closed(timeout = 30_000) {
    const end = Date.now() + timeout
    while (!this.ended && Date.now() < end) await new Promise((resolve) => { this.#waiting.push(resolve); setTimeout(resolve, 500) })
    return this.closeCode
  }

  close() { this.socket.destroy() }
}
