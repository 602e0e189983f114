// A crowd on the wire: the stream's protocol (docs/API-stream.md) spoken to one page by
// the test itself, so that thousands of containers and processes that live and die cost no
// machine. The console, the browser and every other answer are real.
//
// crowd(page, {containers, processes, births, every}) before the page is opened:
//   containers  rows of the topic `containers`
//   processes   rows of `processes`, `host-processes` and `comparison` (every third one the container's)
//   births      so many of them end, and as many are born, at each turn
//   every       ms between turns; one in twenty rows changes at each
const LETTERS = ['S', 'R', 'D']

function process(pid, born, turn, container) {
  return {
    key: `${pid}-${born}`, pid, ppid: pid > 40 && pid % 7 ? pid - (pid % 7) : 1, user: 'root', name: 'sleep', command: `sleep ${pid} --since ${born}`, state: LETTERS[pid % 3], threads: 1 + (pid % 4),
    cpuPercent: ((pid * 7 + turn * 3) % 900) / 10, memoryBytes: (pid % 97) * 524288 + turn * 4096, startedAt: new Date(1.7e12 + born * 1000).toISOString(), hostPid: pid + 1000, ...(container ? { containerId: 'c'.repeat(64) } : {}),
  }
}
function row(n, turn) {
  const id = n.toString(16).padStart(64, '0')
  return {
    key: id, id, name: 'row-' + n, isolation: n % 5 ? 'process' : 'hyperv', state: n % 4 ? 'running' : 'exited', health: 'none', exitCode: n % 4 ? null : n % 3, status: 'Up 3 minutes', image: 'tabique/base', imageId: 'sha256:' + id,
    command: ['sleep', String(n)], networks: [], ports: {}, cpuPercent: ((n * 13 + turn * 5) % 1000) / 10, memoryBytes: n * 65536 + turn * 4096, pids: 1 + (n % 9), startedAt: '2026-01-01T00:00:00Z', createdAt: '2026-01-01T00:00:00Z', restartCount: 0,
  }
}

export async function crowd(page, { containers = 0, processes = 0, births = 0, every = 1000 } = {}) {
  let turn = 0, next = processes + 2
  const alive = Array.from({ length: processes }, (_, i) => [i + 2, 0])
  const now = () => new Date().toISOString()
  const person = ([pid, born], host) => process(pid, born, turn, host && pid % 3 === 0)
  const joined = (one) => {
    const inside = one[0] % 3 === 0, here = person(one, true)
    return { key: here.key, relation: inside ? 'same' : 'host-only', container: inside ? { ...person(one), pid: one[0] - 1 } : null, host: here }
  }
  const topics = {
    containers: { head: () => ({}), all: () => Array.from({ length: containers }, (_, n) => row(n, turn)) },
    processes: { head: () => ({ sampledAt: now(), running: true }), all: () => alive.map((one) => person(one)) },
    'host-processes': { head: () => ({ sampledAt: now() }), all: () => alive.map((one) => person(one, true)) },
    comparison: {
      head: () => ({
        sampledAt: now(), scope: 'host', container: { id: 'c'.repeat(64), name: 'row-1', image: 'tabique/base', isolation: 'process', state: 'running' }, worker: null,
        boundary: { kernel: 'shared', accelerator: null, securityBoundary: false, explanation: '', explanationKey: 'namespace-host' }, summary: { same: Math.floor(processes / 3), containerOnly: 0, hostOnly: processes - Math.floor(processes / 3) },
      }),
      all: () => alive.map(joined),
    },
  }
  const told = { turns: 0 }
  // A page that goes with its context does not close its sockets to us.
  const timers = new Set()
  page.once('close', () => timers.forEach((timer) => clearInterval(timer)))
  await page.routeWebSocket(/\/api\/v1\/stream$/, (socket) => {
    const subscriptions = new Map()
    const timer = setInterval(() => {
      turn++
      const ended = alive.splice(0, births), born = ended.map(() => [next++, turn])
      alive.push(...born)
      for (const [id, one] of subscriptions) {
        const { head, all } = topics[one.topic], keys = new Set(one.topic === 'containers' ? [] : born.map(([pid, at]) => `${pid}-${at}`))
        const rows = all()
        socket.send(JSON.stringify({ id, seq: ++one.seq, type: 'delta', topic: one.topic, ...head(), add: rows.filter(({ key }) => keys.has(key)), update: rows.filter(({ key }, i) => !keys.has(key) && (i + turn) % 20 === 0),
          remove: one.topic === 'containers' ? [] : ended.map(([pid, at]) => `${pid}-${at}`) }))
      }
      told.turns = turn
    }, every)
    socket.onMessage((text) => {
      const { op, id, topic } = JSON.parse(text)
      if (op === 'ping') return socket.send(JSON.stringify({ id, type: 'pong' }))
      if (op === 'unsubscribe') return void subscriptions.delete(id)
      if (!topics[topic]) return socket.send(JSON.stringify({ id, type: 'error', message: 'not in this crowd' }))
      const one = { topic, seq: 1 }
      subscriptions.set(id, one)
      socket.send(JSON.stringify({ id, seq: 1, type: 'state', topic, ...topics[topic].head(), rows: topics[topic].all() }))
    })
    timers.add(timer)
    socket.onClose(() => clearInterval(timer))
  })
  // What is asked over HTTP before the stream has answered is the same crowd.
  const answer = (path, make) => page.route(path, (route) => route.fulfill({ json: make() }))
  if (containers) await answer(/\/api\/v1\/containers(\?|$)/, () => ({ containers: topics.containers.all() }))
  if (processes) {
    await answer(/\/api\/v1\/host\/processes/, () => ({ ...topics['host-processes'].head(), processes: topics['host-processes'].all(), total: processes }))
    await answer(/\/api\/v1\/containers\/[^/]+\/processes(\?|$)/, () => ({ ...topics.processes.head(), processes: topics.processes.all(), total: processes }))
    await answer(/\/api\/v1\/containers\/[^/]+\/comparison/, () => ({ ...topics.comparison.head(), rows: topics.comparison.all() }))
  }
  return told
}
