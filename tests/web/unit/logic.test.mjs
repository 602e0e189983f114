// What the console reckons without a browser.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { test } from 'node:test'

const from = (path) => import(new URL('../../../web/' + path, import.meta.url))
const { parseRun, runLine, createBody, shellSplit, shellQuote, parsePort, parseSize, emptyForm, formOf } = await from('app/runline.js')
const { treeOrder, difference, searchSides, rowKey, ticketText, by } = await from('app/processes.js')
const { foldOf, rowFold, foldsOf, foldText } = await from('app/folds.js')
const { apply } = await from('app/stream.js')
const { LogReader, levelOf, rowsOf, stripAnsi } = await from('app/logs.js')
const { match, link, parse } = await from('app/router.js')
const { nameAndTag, visible, csv } = await from('app/text.js')
const { firstFile, tar } = await from('app/tar.js')
const { ignoring } = await from('app/context.js')
const { note } = await from('app/jobs.js')
const { feed, seriesCount, seriesOf } = await from('app/series.js')
const { rates } = await from('views/container/charts.js').catch(() => ({ rates: null }))
const { stops } = await from('components/slider.js').catch(() => ({ stops: null }))

test('a docker run line becomes the form, and the form the line', () => {
  const { form, unknown } = parseRun(`docker run -dit --rm --isolation=hyperv --name web -e A=1 -e 'B=two words' -p 127.0.0.1:8080:80/tcp -v data:/srv:ro -m 512m --cpus 1.5 --gpus all tabique/base sh -c 'echo "hi"'`)
  assert.deepEqual(unknown, ['--gpus all'])
  assert.equal(form.image, 'tabique/base')
  assert.equal(form.isolation, 'hyperv')
  assert.deepEqual(form.env, ['A=1', 'B=two words'])
  assert.equal(form.tty && form.stdin && form.autoRemove && form.start, true)
  const again = parseRun(runLine(form))
  assert.deepEqual(again.form, form)
  assert.deepEqual(shellSplit(form.command), ['sh', '-c', 'echo "hi"'])
})
test('lines that are none are refused', () => {
  assert.throws(() => parseRun('rm -rf /'))
  assert.throws(() => parseRun(`docker run x 'open`))
  assert.equal(parseRun('sudo docker -H unix:///x create busybox').form.start, false)
})
test('quoting holds for any word', () => {
  for (const word of ['', "it's", 'a b', '$(x)', '"', '\\', 'új', "''", 'a\nb'])
    assert.deepEqual(shellSplit(shellQuote(word)), [word])
})
test('the body of a create', () => {
  const body = createBody({ ...emptyForm(), image: 'i', command: 'ping localhost', ports: ['8080:80', '53/udp'], memory: '1.5g', cpus: '0.5', restart: 'on-failure:3', isolation: 'hyperv', labels: ['a=b=c'] })
  assert.deepEqual(body.Cmd, ['ping', 'localhost'])
  assert.deepEqual(body.HostConfig.PortBindings, { '80/tcp': [{ HostIp: '', HostPort: '8080' }], '53/udp': [{ HostIp: '', HostPort: '' }] })
  assert.equal(body.HostConfig.Memory, 1610612736)
  assert.equal(body.HostConfig.NanoCpus, 5e8)
  assert.deepEqual(body.HostConfig.RestartPolicy, { Name: 'on-failure', MaximumRetryCount: 3 })
  assert.equal(body.Labels.a, 'b=c')
  assert.throws(() => createBody({ ...emptyForm(), image: 'i', ports: ['http'] }))
  assert.throws(() => createBody({ ...emptyForm(), image: 'i', memory: 'much' }))
  assert.equal(parsePort('[::1]:80:8080').ip, '::1')
  assert.ok(Number.isNaN(parseSize('12 apples')))
})

const process = (pid, ppid, name = 'p', startedAt = '2026-01-01T00:00:00Z') => ({ pid, ppid, name, command: name, user: 'root', startedAt })
const order = { pid: (p) => p.pid, ppid: (p) => p.ppid, compare: by('pid', false) }
test('a tree keeps everyone once, whatever the parents say', () => {
  assert.deepEqual(treeOrder([process(3, 1), process(1, 0), process(2, 1), process(4, 3)], order).map(({ item, depth }) => [item.pid, depth]), [[1, 0], [2, 1], [3, 1], [4, 2]])
  assert.deepEqual(treeOrder([process(1, 2), process(2, 1), process(3, 3)], order).map(({ item }) => item.pid).sort(), [1, 2, 3])
  const deep = Array.from({ length: 20000 }, (_, i) => process(i + 1, i))
  assert.equal(treeOrder(deep, order).length, 20000)
})
test('what is folded away is hidden, all of it', () => {
  const list = [process(1, 0), process(2, 1), process(3, 2)]
  assert.deepEqual(treeOrder(list, { ...order, closed: new Set([1]), key: (p) => p.pid }).map(({ item }) => item.pid), [1])
})
const same = (inside, outside, name) => ({ relation: 'same', container: process(inside, 0, name), host: process(outside, 1, name) })
const only = (pid, name) => ({ relation: 'container-only', container: process(pid, 0, name), host: null })
test('times are sorted as times, whatever the length of their fraction', () => {
  const times = ['2026-11-28T12:00:29Z', '2026-11-28T12:00:29.203028078Z', '2026-11-28T12:00:29.3Z', '2026-11-28T12:00:29.30294679Z', '2026-11-28T12:00:30Z']
  assert.deepEqual([...times].reverse().map((time) => ({ time })).sort(by('time', false)).map(({ time }) => time), times)
  assert.deepEqual(['web10', 'web9', 'Web1'].map((name) => ({ name })).sort(by('name', false)).map(({ name }) => name), ['Web1', 'web9', 'web10'])
})

test('what is folded goes into an address, as much as fits, and comes back', () => {
  const startedAt = '2026-01-02T03:04:05.678Z'
  const inside = { pid: 7, startedAt }, outside = { pid: 4711, startedAt }
  assert.equal(foldOf(inside), '7.' + Date.parse(startedAt).toString(36))
  assert.equal(rowFold({ container: inside, host: outside }), rowFold({ container: null, host: outside }), 'on both sides of the wall')
  assert.notEqual(rowFold({ container: inside, host: null }), rowFold({ container: null, host: inside }))
  const folded = new Set(Array.from({ length: 4000 }, (_, i) => foldOf({ pid: 4190000 + i, startedAt })))
  const text = foldText(folded)
  assert.ok(link('/host', { fold: text }).length < 1000)
  assert.deepEqual([...foldsOf(text)], [...folded].slice(-50))
  assert.deepEqual(foldsOf(''), new Set())
  assert.equal(foldsOf('x_'.repeat(1e5) + text).size, 50)
})

test('search says what is here and what is not there', () => {
  assert.deepEqual(searchSides([same(1, 3964, 'ping')], 'PING'), { text: 'ping', container: 1, host: 1, same: 1 })
  assert.deepEqual(searchSides([only(92, 'ping')], 'ping'), { text: 'ping', container: 1, host: 0, same: 0 })
  assert.equal(searchSides([same(1, 3964, 'ping')], '3964').host, 1)
})
test('two moments: a number used again is another process', () => {
  const before = [{ relation: 'same', container: process(7, 1, 'a', '2026-01-01T00:00:00Z'), host: null }]
  const after = [{ relation: 'same', container: process(7, 1, 'a', '2026-01-01T00:05:00Z'), host: null }]
  const { born, ended, stayed } = difference(before, after)
  assert.deepEqual([born.length, ended.length, stayed.length], [1, 1, 0])
  assert.notEqual(rowKey(before[0]), rowKey(after[0]))
})
test('a ticket is plain text, with hostile names made harmless', () => {
  const evil = same(1, 2, 'evil\u202e\u001b[31m')
  const text = ticketText({ container: { name: 'c', isolation: 'process' }, boundary: { kernel: 'shared' }, sampledAt: 'now', rows: [evil] }, (key) => key, 'sentence', 'link')
  assert.ok(!/[\u202e\u001b]/.test(text))
})

test('a stream: state, deltas, gaps', () => {
  let { known } = apply(null, { id: 1, seq: 1, type: 'state', topic: 'containers', running: true, rows: [{ key: 'a', n: 1 }, { key: 'b', n: 1 }] })
  assert.equal(known.rows.size, 2)
  const old = known.rows
  ;({ known } = apply(known, { id: 1, seq: 2, type: 'delta', add: [{ key: 'c', n: 1 }], update: [{ key: 'a', n: 2 }], remove: ['b'], running: false }))
  assert.deepEqual([...known.rows.values()].map((row) => row.key + row.n), ['a2', 'c1'])
  assert.equal(known.head.running, false)
  assert.equal(old.size, 2, 'what was handed out is not changed')
  assert.equal(apply(known, { id: 1, seq: 4, type: 'delta', remove: ['a'] }).gap, true)
  assert.equal(apply(known, { id: 1, seq: 2, type: 'delta' }).gap, true)
  assert.equal(apply(known, { id: 1, type: 'pong' }).changed, false)
})

const frame = (stream, text) => { const data = Buffer.from(text); const head = Buffer.alloc(8); head[0] = stream; head.writeUInt32BE(data.length, 4); return Buffer.concat([head, data]) }
test('log frames cut anywhere give the same lines', () => {
  const bytes = Buffer.concat([frame(1, '2026-01-01T00:00:00.5Z hello ñ\n2026-01-01T00:00:01Z se'), frame(2, 'oh\n'), frame(1, 'cond\r\n'), frame(1, 'rest')])
  const whole = (size) => {
    const reader = new LogReader(false), out = []
    for (let i = 0; i < bytes.length; i += size) out.push(...reader.push(bytes.subarray(i, i + size)))
    return [...out, ...reader.end()]
  }
  const wanted = [[1, 'hello ñ'], [2, 'oh'], [1, 'second'], [1, 'rest']]
  for (const size of [1, 2, 3, 7, 9, 64, 1000]) assert.deepEqual(whole(size).map((line) => [line.stream, line.text]), wanted)
  assert.equal(levelOf('2 ERROR: no'), 'error')
  assert.equal(levelOf('terror'), '')
  assert.equal(stripAnsi('\u001b[1;31mred\u001b[0m \u001b]0;title\u0007x'), 'red x')
})

test('a level that a line says of itself goes before words in it', () => {
  assert.equal(levelOf('time=x level=info msg="no error was found"'), 'info')
  assert.equal(levelOf('{"severity":"WARNING","message":"failed once"}'), 'warn')
  assert.equal(levelOf('{"level": "trace"}'), 'debug')
  assert.equal(levelOf('2026-01-01 CRITICAL disk'), 'error')
  assert.equal(levelOf('nothing of note'), '')
})
test('how many rows a wrapped line takes', () => {
  assert.equal(rowsOf('', 80), 1)
  assert.equal(rowsOf('a'.repeat(80), 80), 1)
  assert.equal(rowsOf('a'.repeat(81), 80), 2)
  assert.equal(rowsOf('ñ'.repeat(80), 80), 1)
  assert.equal(rowsOf('漢'.repeat(41), 80), 2)
  assert.equal(rowsOf('x', 0), 1)
})

test('the last values of containers that have gone are forgotten', () => {
  const of = (from, n) => Array.from({ length: n }, (_, i) => ({ id: String(from + i), cpuPercent: 1, memoryBytes: 1 }))
  for (let turn = 0; turn < 50; turn++) feed(of(turn * 20, 20), turn + 1)
  assert.ok(seriesCount() <= 60, `${seriesCount()} kept`)
  feed(of(49 * 20, 20), 51)
  assert.deepEqual(seriesOf('cpu980'), [1, 1])
  assert.deepEqual(seriesOf('cpu0'), [])
})

test('a pull, a push and a build, from the lines the engine says', () => {
  const job = { layers: new Map(), output: '', line: '', result: '' }
  for (const m of [{ status: 'Pulling from library/x', id: 'latest' }, { status: 'Downloading', id: 'a1', progressDetail: { current: 10, total: 40 } }, { status: 'Extracting', id: 'a1', progressDetail: {} }, { status: 'Pull complete', id: 'a1' }, { status: 'Already exists', id: 'b2' }, { status: 'Digest: sha256:0' },
    { stream: 'Step 1/2 : FROM x\n' }, { stream: ' ---> 0\n' }, { aux: { ID: 'sha256:1' } }]) note(job, m)
  assert.deepEqual([...job.layers].map(([id, layer]) => [id, layer.status, layer.current, layer.total]), [['latest', 'Pulling from library/x', 0, 0], ['a1', 'Pull complete', 40, 40], ['b2', 'Already exists', 0, 0]])
  assert.equal(job.output, 'Step 1/2 : FROM x\n ---> 0\n')
  assert.deepEqual([job.line, job.result], ['Digest: sha256:0', 'sha256:1'])
})
test('.dockerignore: the last line that fits decides', () => {
  const out = ignoring('# all but\nnode_modules\n*.log\n!keep.log\n**/tmp\nsrc/*.o\n[ab].txt\n/abs\n\n(\n')
  const left = ['node_modules', 'node_modules/a/b.js', 'x.log', 'tmp', 'a/b/tmp/c', 'src/a.o', 'a.txt', 'abs']
  const kept = ['keep.log', 'a/x.log', 'src/d/a.o', 'c.txt', 'Dockerfile', 'node_modules.txt', 'tmpx']
  assert.deepEqual([...left, ...kept].filter(out), left)
})
test('names of images in two', () => {
  assert.deepEqual(nameAndTag('registry:5000/a/b'), ['registry:5000/a/b', ''])
  assert.deepEqual(nameAndTag('registry:5000/a/b:1'), ['registry:5000/a/b', '1'])
  assert.deepEqual(nameAndTag('a@sha256:00'), ['a@sha256:00', ''])
})
test('the form that would make a container again', () => {
  const form = { ...emptyForm(), image: 'i', name: 'n', isolation: 'hyperv', command: "sh -c 'echo 1'", env: ['A=1'], ports: ['127.0.0.1:8080:80', '53/udp'], volumes: ['data:/d:ro'], memory: '512m', cpus: '0.5', pids: '20', restart: 'on-failure:3', labels: ['a=b'], health: 'true' }
  const body = createBody(form)
  const again = formOf({ Id: 'f'.repeat(64), Config: { ...body, Image: 'i', Hostname: 'ffffffffffff' }, HostConfig: body.HostConfig, Mounts: [{ Type: 'volume', Name: 'data', Destination: '/d', RW: false }] })
  assert.deepEqual({ ...again, name: 'n' }, form)
})

test('addresses lead to views and back', () => {
  assert.deepEqual(match('/ui/compare/web'), { view: 'compare', params: { id: 'web' } })
  assert.deepEqual(match('/ui/containers/a%2Fb/logs'), { view: 'container', params: { id: 'a/b', tab: 'logs' } })
  assert.equal(match('/ui').view, 'overview')
  assert.equal(match('/ui/nowhere/at/all').view, 'missing')
  assert.equal(match('/ui/compare/%E0%A4%A').view, 'missing')
  assert.equal(link('/compare/x', { at: '2026-01-01T00:00:00Z', q: '', others: true, none: null }), '/ui/compare/x?at=2026-01-01T00%3A00%3A00Z&others=1')
  assert.equal(parse('https://h/ui/host?q=a+b').query.q, 'a b')
})
test('text from outside is shown, not obeyed', () => {
  assert.equal(visible('a\u0000b\u202ec\n'), 'a␀b�c␊')
  assert.equal(visible(null), '')
  assert.equal(csv(['a'], [['=1+1'], ['x"y,z'], [-5]]), 'a\r\n\'=1+1\r\n"x""y,z"\r\n-5\r\n')
})
test('an upload is a tar that tar reads', async () => {
  const long = 'ñ'.repeat(80) + '.txt'
  const archive = Buffer.from(await tar([{ name: 'a.txt', data: new TextEncoder().encode('hello') }, { name: long, data: new Uint8Array(600) }]).arrayBuffer())
  const { stdout, status } = spawnSync('tar', ['-tvf', '-', '--quoting-style=literal'], { input: archive, encoding: 'utf8' })
  assert.equal(status, 0)
  assert.match(stdout, / 5 .*a\.txt/)
  assert.ok(stdout.includes(long))
})
test('the first file of an archive that tar made, also under a long name and in a folder', () => {
  const made = (...args) => spawnSync('tar', ['-C', folder, '--format=pax', '-cf', '-', ...args]).stdout
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tabique-tar-'))
  try {
    fs.mkdirSync(path.join(folder, 'd'))
    const long = 'd/' + 'ñ'.repeat(90)
    fs.writeFileSync(path.join(folder, long), 'content')
    fs.symlinkSync('x', path.join(folder, 'link'))
    assert.equal(Buffer.from(firstFile(made(long)).data).toString(), 'content')
    assert.equal(Buffer.from(firstFile(made('d')).data).toString(), 'content')
    assert.equal(firstFile(made('link')).type, '2')
    const half = firstFile(made(long).subarray(0, made(long).length - 10240 + 3))
    assert.ok(half === null || half.size === 7)
    assert.equal(firstFile(new Uint8Array(1024)), null)
    assert.equal(firstFile(new Uint8Array(2048).fill(0x41)), null)
  } finally { fs.rmSync(folder, { recursive: true }) }
})
test('counters become rates; one that began anew is a gap', () => {
  const at = (s, n) => ({ time: new Date(1e12 + s * 1000).toISOString(), spanSeconds: 1, n })
  assert.deepEqual(rates([at(0, 0), at(1, 100), at(2, 50), at(60, 60)], 'n'), [null, 100, null, null])
})
test('the slider stops where something happened', () => {
  const marks = { since: '2026-01-01T00:00:00Z', until: '2026-01-01T00:00:10Z', buckets: 10, births: [0, 2, 0, 0, 0, 0, 0, 0, 0, 0], deaths: [0, 0, 0, 0, 0, 1, 0, 0, 0, 0], events: [{ time: '2026-01-01T00:00:02Z' }] }
  assert.deepEqual(stops(marks).map((time) => (time - Date.parse(marks.since)) / 1000), [2, 6])
})
