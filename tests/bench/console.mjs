// console.mjs [MINUTES] [PART,...] - what the console costs, in tables:
//   first    weight of the first view and time until it can be used, cold cache, on loopback and with
//            1 Mbit/s and 200 ms, beside what the wire alone takes
//   frames   the main thread's work per frame while 2,000 containers and 5,000 live processes are scrolled
//   still    what a live Compare page costs that nobody touches, and its heap after MINUTES (default 1)
//   viewers  CPU of the server with 0, 1, 50, 200 viewers of a live comparison
// Figures, not assertions; environment as for the web tests, with a release build. On a loaded machine
// CPU time says more than the clock: what is told of frames and pages is CPU time of their threads.
// A server that is new to its place makes its machines' template first: that is waited for.
import fs from 'node:fs'
import { performance } from 'node:perf_hooks'
import { WebSocketClient } from '../api/lib/websocket.mjs'
import { sleep, until } from '../api/lib/server.mjs'
import { Console } from '../web/lib/console.mjs'
import { crowd } from '../web/lib/crowd.mjs'

const minutes = Number(process.argv[2] ?? 1)
const parts = (process.argv[3] ?? 'first,frames,still,viewers').split(',')
const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1]
const table = (head, rows) => {
  const all = [head, ...rows.map((row) => row.map((cell) => (typeof cell === 'number' ? cell.toFixed(Math.abs(cell) < 100 ? 1 : 0) : String(cell))))]
  const widths = head.map((_, i) => Math.max(...all.map((row) => row[i].length)))
  all.splice(1, 0, widths.map((width) => '-'.repeat(width)))
  console.log(all.map((row) => '| ' + row.map((cell, i) => (i ? cell.padStart(widths[i]) : cell.padEnd(widths[i]))).join(' | ') + ' |').join('\n') + '\n')
}

const it = await Console.start()
try {
  const { server } = it
  const context = await it.context()
  const page = await context.newPage()
  await it.signIn(page)
  const state = await context.storageState()
  const tasks = `/proc/${server.child.pid}/task`
  await until('the server to have no child at work', () => fs.readdirSync(tasks).every((task) => !fs.readFileSync(`${tasks}/${task}/children`, 'utf8')), 300_000)
  const browser = await it.browser.newBrowserCDPSession()
  console.log(`load ${fs.readFileSync('/proc/loadavg', 'utf8').split(' ')[0]}, ${await page.evaluate(() => navigator.hardwareConcurrency)} CPUs, Chromium ${it.browser.version()}\n`)

  // A page of its own, with a crowd or without.
  const opened = async (people, path) => {
    const own = await it.context({ storageState: state })
    const fresh = await own.newPage()
    if (people) await crowd(fresh, people)
    await it.go(fresh, path)
    return { own, fresh }
  }

  // --- the first view: usable is when the host's CPU stands there ---------------------
  const once = async (wire) => {
    const own = await it.context({ storageState: state })
    const fresh = await own.newPage()
    const cdp = await own.newCDPSession(fresh)
    let bytes = 0, requests = 0
    await cdp.send('Network.enable')
    cdp.on('Network.loadingFinished', (event) => { bytes += event.encodedDataLength; requests++ })
    if (wire) await cdp.send('Network.emulateNetworkConditions', { offline: false, latency: wire.latency, downloadThroughput: wire.bytes, uploadThroughput: wire.bytes })
    const begun = performance.now()
    await fresh.goto(it.origin + '/ui/', { waitUntil: 'commit' })
    await fresh.waitForFunction(() => /%/.test(document.querySelector('main .gauge strong')?.textContent ?? ''))
    const usable = performance.now() - begun
    await fresh.waitForLoadState('networkidle').catch(() => {})
    await own.close()
    return { usable, bytes, requests }
  }
  if (parts.includes('first')) {
    const rows = []
    for (const [name, wire] of [['loopback', null], ['1 Mbit/s, 200 ms', { latency: 200, bytes: 125_000 }]]) {
      const runs = []
      for (let i = 0; i < 5; i++) runs.push(await once(wire))
      const usable = median(runs.map((run) => run.usable)), { bytes, requests } = runs[0]
      // The document, its files, what it shows: three round trips, and every byte.
      const limit = wire ? bytes / wire.bytes * 1000 + 3 * wire.latency : null
      rows.push([name, bytes / 1024, String(requests), usable, limit ?? '-', limit ? (usable / limit).toFixed(2) : '-'])
    }
    table(['first view, cold', 'KiB', 'requests', 'usable ms (median of 5)', "the wire's limit ms", 'times the limit'], rows)
  }

  // --- frames: from a trace of the main thread, in CPU time -----------------------------
  const kinds = { script: /^(FunctionCall|EvaluateScript|FireAnimationFrame|TimerFire|EventDispatch|v8\.|RunMicrotasks|.*GC)/, style: /^(UpdateLayoutTree|Document::.*[sS]tyle)/, layout: /^(Layout|LocalFrameView::performLayout)$/, paint: /^(Paint|PrePaint|Layerize|Commit|CullRectUpdate|PaintArtifactCompositor|Blink\.(Paint|PrePaint|Compositing))/ }
  const scrolled = async (fresh, last) => {
    const events = []
    const take = ({ value }) => events.push(...value)
    browser.on('Tracing.dataCollected', take)
    await browser.send('Tracing.start', { transferMode: 'ReportEvents', traceConfig: { includedCategories: ['toplevel', 'devtools.timeline', 'disabled-by-default-devtools.timeline', 'blink', 'blink.user_timing', 'v8'] } })
    const frames = await fresh.evaluate((last) => new Promise((resolve) => {
      const box = [...document.querySelectorAll('main .table')].at(last ? -1 : 0), end = box.scrollHeight - box.clientHeight
      let n = 0, step = 90, at = 0
      const tick = () => {
        performance.mark('bench.frame')
        if (at >= end) step = -90
        if (at <= 0) step = 90
        box.scrollTop = at += step
        if (++n < 300) requestAnimationFrame(tick); else resolve(n)
      }
      requestAnimationFrame(tick)
    }), last)
    const done = new Promise((resolve) => browser.once('Tracing.tracingComplete', resolve))
    await browser.send('Tracing.end')
    await done
    browser.off('Tracing.dataCollected', take)
    // The page's main thread is where most was done.
    const threads = new Map()
    for (const event of events) if (event.ph === 'X') {
      const id = `${event.pid}/${event.tid}`
      threads.set(id, threads.get(id) ?? [])
      threads.get(id).push(event)
    }
    const names = new Map(events.filter((event) => event.name === 'thread_name').map((event) => [`${event.pid}/${event.tid}`, event.args.name]))
    const cost = (event) => (event.tdur ?? event.dur ?? 0) / 1000
    const mains = [...threads].filter(([id]) => names.get(id) === 'CrRendererMain').map(([, list]) => list)
    const total = (list) => list.filter((event) => event.name === 'ThreadControllerImpl::RunTask').reduce((sum, event) => sum + cost(event), 0)
    const main = mains.sort((a, b) => total(b) - total(a))[0].sort((a, b) => a.ts - b.ts || b.dur - a.dur)
    const sums = { script: 0, style: 0, layout: 0, paint: 0 }, stack = [], selves = new Map()
    for (const event of main) {
      while (stack.length && stack.at(-1).ts + stack.at(-1).dur <= event.ts) stack.pop()
      selves.set(event, cost(event))
      if (stack.length) selves.set(stack.at(-1), selves.get(stack.at(-1)) - cost(event))
      stack.push(event)
    }
    for (const [event, self] of selves) for (const kind in kinds) if (kinds[kind].test(event.name)) { sums[kind] += self; break }
    // Work between one frame's mark and the next.
    const marks = events.filter((event) => event.name === 'bench.frame').map((event) => event.ts).sort((a, b) => a - b)
    const work = marks.map(() => 0)
    let i = 0
    for (const event of main) if (event.name === 'ThreadControllerImpl::RunTask') {
      while (i + 1 < marks.length && marks[i + 1] <= event.ts) i++
      if (event.ts >= marks[0]) work[i] += cost(event)
    }
    work.sort((a, b) => a - b)
    const per = (sum) => sum / frames
    return [per(total(main)), ...Object.values(sums).map(per), work[work.length >> 1] ?? 0, work[Math.floor(work.length * 0.95)] ?? 0]
  }
  if (parts.includes('frames')) {
    const rows = []
    for (const [name, people, path, last] of [
      ['2,000 containers', { containers: 2000 }, '/ui/containers'],
      ['5,000 processes of the host, flat', { processes: 5000, births: 5 }, '/ui/host?flat=1'],
      ['5,000 processes of the host, tree', { processes: 5000, births: 5 }, '/ui/host'],
      ['5,000 in Compare, the host beside', { containers: 20, processes: 5000, births: 5 }, '/ui/compare/row-1?others=shown', true],
    ]) {
      const { own, fresh } = await opened(people, path)
      await fresh.waitForFunction(() => [...document.querySelectorAll('main table[role=grid]')].some((one) => Number(one.getAttribute('aria-rowcount')) > 1500))
      await sleep(2000)
      rows.push([name, ...await scrolled(fresh, last)])
      await own.close()
    }
    table(['scrolled 90 px a frame: CPU ms a frame', 'all', 'script', 'style', 'layout', 'paint', 'median', '95 %'], rows)
  }

  // --- a live page that stands still ----------------------------------------------------
  const renderers = async () => new Map((await browser.send('SystemInfo.getProcessInfo')).processInfo.filter(({ type }) => type === 'renderer').map(({ id, cpuTime }) => [id, cpuTime]))
  const still = async (fresh, seconds) => {
    const before = await renderers(), from = performance.now()
    await sleep(seconds * 1000)
    const after = await renderers(), took = (performance.now() - from) / 1000
    return Math.max(...[...after].map(([id, cpu]) => cpu - (before.get(id) ?? cpu))) / took * 100
  }
  const heap = async (own, fresh) => {
    const cdp = await own.newCDPSession(fresh)
    await cdp.send('HeapProfiler.enable')
    await cdp.send('HeapProfiler.collectGarbage')
    const { usedSize } = await cdp.send('Runtime.getHeapUsage')
    await cdp.detach()
    return usedSize / 1048576
  }
  const busy = async () => { if (!busy.made) await server.ok('run', '-d', '--stop-timeout', '1', '--name', 'busy', 'tabique/base', 'sh', '-c', 'while true; do sleep 1; done'); busy.made = true }
  if (parts.includes('still')) {
    await page.goto('about:blank')
    await busy()
    const rows = []
    for (const [name, people, path] of [
      ['this host, one born and one dead a second', null, '/ui/compare/busy?others=shown'],
      ['5,000 processes, 5 born and 5 dead a second', { containers: 20, processes: 5000, births: 5 }, '/ui/compare/row-1?others=shown'],
    ]) {
      const { own, fresh } = await opened(people, path)
      await fresh.waitForSelector('.pane.container tbody tr[aria-rowindex]')
      await sleep(5000)
      const share = await still(fresh, 10), first = await heap(own, fresh)
      await sleep(minutes * 60_000)
      rows.push([name, share, first, await heap(own, fresh)])
      await own.close()
    }
    table(['Compare, live, untouched', 'renderer, % of a core', 'heap MiB', `heap MiB after ${minutes} min`], rows)
  }

  // --- viewers ------------------------------------------------------------------------------
  if (parts.includes('viewers')) {
    await page.goto('about:blank')
    await busy()
    const cpu = () => { const stat = fs.readFileSync(`/proc/${server.child.pid}/stat`, 'utf8'), fields = stat.slice(stat.lastIndexOf(')') + 2).split(' '); return (Number(fields[11]) + Number(fields[12])) * 10 }
    const cookie = (await context.cookies()).map(({ name, value }) => `${name}=${value}`).join('; ')
    const sockets = [], rows = []
    for (const wanted of [0, 1, 50, 200]) {
      while (sockets.length < wanted) {
        const socket = await WebSocketClient.connect({ host: '127.0.0.1', port: server.port, tls: true }, '/api/v1/stream', { Cookie: cookie, Origin: it.origin })
        if (socket.status !== 101) throw new Error('refused: ' + socket.status)
        socket.send({ op: 'subscribe', id: 1, topic: 'comparison', container: 'busy', scope: 'container' })
        sockets.push(socket)
      }
      await sleep(2000)
      const from = cpu(), at = performance.now()
      await sleep(10_000)
      const share = (cpu() - from) / (performance.now() - at) * 100, before = rows.at(-1)
      rows.push([String(wanted), share, before ? ((share - rows[0][1]) / wanted).toFixed(3) : '-'])
    }
    for (const socket of sockets) socket.close()
    table(['viewers of a live comparison', 'server, % of a core', '% more for each'], rows)
  }
} finally { await it.stop() }
