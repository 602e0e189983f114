// console.mjs [MINUTES] - what the console costs: weight and time of the first view,
// frames while scrolling 2,000 containers and 5,000 live processes, memory of a
// Compare page after MINUTES (default 10), CPU of the server with 1, 50, 200 viewers.
// Figures, not assertions; environment as for the web tests, with a release build.
import fs from 'node:fs'
import { performance } from 'node:perf_hooks'
import { WebSocketClient } from '../api/lib/websocket.mjs'
import { until, sleep } from '../api/lib/server.mjs'
import { Console } from '../web/lib/console.mjs'

const minutes = Number(process.argv[2] ?? 10)
const CONTAINERS = Number(process.env.BENCH_CONTAINERS ?? 2000), PROCESSES = Number(process.env.BENCH_PROCESSES ?? 5000)
const say = (what, figure) => console.log(what.padEnd(64) + figure)
const ms = (value) => value.toFixed(1) + ' ms'
const quantile = (list, part) => [...list].sort((a, b) => a - b)[Math.min(list.length - 1, Math.floor(list.length * part))]

const it = await Console.start()
try {
  const { server } = it
  const context = await it.context()
  const page = await context.newPage()
  await it.signIn(page)
  say('the machine', `${(await fs.promises.readFile('/proc/loadavg', 'utf8')).split(' ')[0]} load, ${await page.evaluate(() => navigator.hardwareConcurrency)} CPUs`)

  // --- the first view -------------------------------------------------------------
  const first = async (name, conditions) => {
    const own = await it.context({ storageState: await context.storageState() })
    const fresh = await own.newPage()
    const wire = await own.newCDPSession(fresh)
    await wire.send('Network.enable')
    let bytes = 0
    wire.on('Network.loadingFinished', (event) => { bytes += event.encodedDataLength })
    if (conditions) await wire.send('Network.emulateNetworkConditions', { offline: false, ...conditions })
    const begun = performance.now()
    await fresh.goto(it.origin + '/ui/')
    await fresh.waitForSelector('main .card')
    say(`first view, ${name}: usable after`, ms(performance.now() - begun))
    await fresh.waitForLoadState('networkidle').catch(() => {})
    say(`first view, ${name}: fetched`, (bytes / 1024).toFixed(1) + ' KiB')
    await own.close()
  }
  await first('loopback')
  await first('1 Mbit/s, 200 ms', { latency: 200, downloadThroughput: 125_000, uploadThroughput: 125_000 })

  // --- frames ------------------------------------------------------------------------
  const frames = async (what, path, rows) => {
    await it.go(page, path)
    await page.waitForFunction((n) => Number(document.querySelector('main table[role=grid]')?.getAttribute('aria-rowcount')) > n, rows, { timeout: 120_000 })
    const times = await page.evaluate(() => new Promise((resolve) => {
      const box = document.querySelector('main .table')
      const out = []
      let last = performance.now(), step = 90
      const tick = (now) => {
        out.push(now - last)
        last = now
        if (box.scrollTop + box.clientHeight >= box.scrollHeight - 1) step = -Math.abs(step)
        if (box.scrollTop <= 0) step = Math.abs(step)
        box.scrollTop += step
        if (out.length < 600) requestAnimationFrame(tick); else resolve(out.slice(5))
      }
      requestAnimationFrame(tick)
    }))
    say(`frames, ${what}: median, 95 %, longest`, [quantile(times, 0.5), quantile(times, 0.95), Math.max(...times)].map(ms).join('  '))
    say(`frames, ${what}: over 50 ms`, `${times.filter((time) => time > 50).length} of ${times.length}`)
  }
  const queue = Array.from({ length: CONTAINERS }, (_, i) => i)
  const begun = performance.now()
  await Promise.all(Array.from({ length: 8 }, async () => {
    for (let i = queue.pop(); i !== undefined; i = queue.pop()) {
      const { status, text } = await server.request('POST', `/containers/create?name=row-${i}`, { body: { Image: 'tabique/base', Cmd: ['true'] } })
      if (status !== 201) throw new Error(text)
    }
  }))
  say(`${CONTAINERS} containers created in`, ms(performance.now() - begun))
  await frames(`scrolling ${CONTAINERS} containers`, '/ui/containers', CONTAINERS)
  await server.ok('run', '-d', '--name', 'crowd', '--pids-limit', '-1', 'tabique/base', 'sh', '-c', `i=0; while [ $i -lt ${PROCESSES} ]; do sleep 99999 & i=$((i+1)); done; wait`)
  await until('the crowd', async () => (await server.request('GET', '/containers/crowd/stats?stream=false')).json?.pids_stats?.current > PROCESSES, 300_000)
  await frames(`scrolling ${PROCESSES} live processes`, '/ui/host?flat=1', PROCESSES)
  await frames(`scrolling ${PROCESSES} processes of one container`, '/ui/containers/crowd/processes?flat=1', PROCESSES)
  await server.ok('rm', '-f', 'crowd')

  // --- viewers --------------------------------------------------------------------------
  await server.ok('run', '-d', '--stop-timeout', '1', '--name', 'busy', 'tabique/base', 'sh', '-c', 'while true; do sleep 1; done')
  await page.goto('about:blank')
  const cpu = () => { const stat = fs.readFileSync(`/proc/${server.child.pid}/stat`, 'utf8'), fields = stat.slice(stat.lastIndexOf(')') + 2).split(' '); return (Number(fields[11]) + Number(fields[12])) * 10 }
  const cookie = (await context.cookies()).map(({ name, value }) => `${name}=${value}`).join('; ')
  const share = async (sockets) => {
    await sleep(3000)
    const from = cpu(), at = performance.now()
    await sleep(15_000)
    say(`server's CPU with ${sockets} viewers of a live comparison`, ((cpu() - from) / (performance.now() - at) * 100).toFixed(1) + ' % of a core')
  }
  await share(0)
  const sockets = []
  for (const wanted of [1, 50, 200]) {
    while (sockets.length < wanted) {
      const socket = await WebSocketClient.connect({ host: '127.0.0.1', port: server.port, tls: true }, '/api/v1/stream', { Cookie: cookie, Origin: it.origin })
      if (socket.status !== 101) throw new Error('refused: ' + socket.status)
      socket.send({ op: 'subscribe', id: 1, topic: 'comparison', container: 'busy', scope: 'container' })
      sockets.push(socket)
    }
    await share(wanted)
  }
  for (const socket of sockets) socket.close()

  // --- memory -------------------------------------------------------------------------------
  const heap = async () => {
    const wire = await context.newCDPSession(page)
    await wire.send('HeapProfiler.enable')
    await wire.send('HeapProfiler.collectGarbage')
    const { usedSize } = await wire.send('Runtime.getHeapUsage')
    const { metrics } = await wire.send('Performance.enable').then(() => wire.send('Performance.getMetrics'))
    await wire.detach()
    return `${(usedSize / 1048576).toFixed(1)} MiB heap, ${metrics.find((metric) => metric.name === 'Nodes').value} nodes`
  }
  await it.go(page, '/ui/compare/busy?others=shown')
  await page.waitForSelector('.pane.container tbody tr[aria-rowindex]')
  await sleep(20_000)
  say('a live Compare page, at first', await heap())
  const step = Math.max(1, Math.round(minutes / 6))
  for (let done = step; done <= minutes; done += step) {
    await sleep(step * 60_000)
    say(`a live Compare page, after ${done} min`, await heap())
  }
} finally { await it.stop() }
