// The stock docker CLI against a server of our own: what people type, behind the
// thin wall. Tests share one server; each cleans up its own containers.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { describe, test } from 'node:test'
import { sleep, until } from './lib/server.mjs'
import { IMAGE, server } from './lib/own.mjs'

let count = 0
const name = (what = 'c') => `${what}-${process.pid}-${++count}`
const ok = (...args) => server.ok(...args)
const docker = (...args) => server.docker(...args)

async function background(...args) {
  const id = name()
  await ok('run', '-d', '--name', id, ...args)
  return id
}

// The CLI's streams do not all end at a plain SIGTERM, and would keep this process alive.
async function end(child) {
  child.kill('SIGKILL')
  await new Promise((resolve) => (child.exitCode !== null || child.signalCode !== null ? resolve() : child.on('close', resolve)))
}

const remove = (...ids) => ok('rm', '-f', '-v', ...ids)

describe('system', () => {
  test('version', async () => {
    const text = await ok('version')
    assert.match(text, /Server: Tabique/)
    assert.match(text, /API version:\s+1\.51 \(minimum version 1\.24\)/)
    assert.equal(await ok('version', '--format', '{{.Server.Os}}'), 'linux')
  })

  test('info', async () => {
    const result = await docker('info')
    assert.equal(result.code, 0, result.stderr)
    for (const line of [/Server Version:/, /Storage Driver: overlay2/, /Cgroup Driver: cgroupfs/, /seccomp/, /Kernel Version:/, /Docker Root Dir:/])
      assert.match(result.stdout, line)
    const info = JSON.parse(await ok('info', '--format', '{{json .}}'))
    assert.ok(info.NCPU > 0)
    assert.ok(info.MemTotal > 0)
    assert.equal(info.DockerRootDir, server.dataDir)
    assert.ok(['process', 'hyperv'].includes(info.Isolation))
  })

  test('ping and the headers that clients read', async () => {
    const head = await server.request('HEAD', '/_ping')
    assert.equal(head.status, 200)
    assert.equal(head.headers['api-version'], '1.51')
    assert.equal(head.headers.ostype, 'linux')
    const get = await server.request('GET', '/v1.44/_ping')
    assert.equal(get.text, 'OK')
  })

  test('versions out of range are refused', async () => {
    const old = await server.request('GET', '/v1.23/containers/json')
    assert.equal(old.status, 400)
    assert.match(old.json.message, /too old/)
    const young = await server.request('GET', '/v1.99/containers/json')
    assert.equal(young.status, 400)
    assert.match(young.json.message, /too new/)
  })

  test('system df', async () => {
    const id = await background(IMAGE, 'sleep', '1000')
    const text = await ok('system', 'df')
    assert.match(text, /Images\s+\d+\s+1/)
    assert.match(await ok('system', 'df', '-v'), new RegExp(id))
    await remove(id)
  })

  test('system prune', async () => {
    const id = name()
    await ok('create', '--name', id, '-l', 'pruned', IMAGE)
    assert.match(await ok('system', 'prune', '-f', '--volumes', '--filter', 'label=pruned'), /Deleted Containers:/)
    assert.equal((await server.request('GET', `/containers/${id}/json`)).status, 404)
  })

  test('what a swarm would have is refused as Docker refuses it', async () => {
    for (const args of [['node', 'ls'], ['service', 'ls'], ['secret', 'ls'], ['config', 'ls'], ['stack', 'ls']]) {
      const result = await docker(...args)
      assert.notEqual(result.code, 0)
      assert.match(result.stderr, /This node is not a swarm manager/)
    }
    assert.equal(await ok('plugin', 'ls', '-q'), '')
  })

  test('metrics', async () => {
    const id = await background(IMAGE, 'sleep', '1000')
    const { text, headers } = await server.request('GET', '/metrics')
    assert.match(headers['content-type'], /^text\/plain; version=0\.0\.4/)
    assert.match(text, /tabique_build_info\{version="[^"]+"\} 1/)
    assert.match(text, /tabique_containers\{state="running",isolation="process"\} [1-9]/)
    assert.match(text, new RegExp(`container_memory_usage_bytes\\{id="[0-9a-f]{64}",name="${id}",image="${IMAGE}[^"]*",isolation="process"\\} \\d+`))
    assert.match(text, /process_resident_memory_bytes \d+/)
    const names = [...text.matchAll(/^# TYPE (\S+) /gm)].map((match) => match[1])
    assert.equal(new Set(names).size, names.length, 'each family stands once')
    await remove(id)
  })
})

describe('run', () => {
  test('run --rm gives output and exit status', async () => {
    const result = await docker('run', '--rm', IMAGE, 'sh', '-c', 'echo out; echo err >&2; exit 7')
    assert.equal(result.stdout, 'out\n')
    assert.equal(result.stderr, 'err\n')
    assert.equal(result.code, 7)
  })

  test('run --rm leaves nothing', async () => {
    const id = name()
    await ok('run', '--rm', '--name', id, IMAGE, 'true')
    await until('removal', async () => (await server.request('GET', `/containers/${id}/json`)).status === 404)
  })

  test('run -i passes standard input to its end', async () => {
    const result = await docker('run', '--rm', '-i', IMAGE, 'sh', '-c', 'wc -c', { input: 'x'.repeat(300_000) })
    assert.equal(result.code, 0, result.stderr)
    assert.equal(result.stdout.trim(), '300000')
  })

  test('run -t has a terminal', async () => {
    const result = await server.dockerTty(`run --rm -t ${IMAGE} sh -c 'test -t 1 && echo is a tty'`)
    assert.equal(result.code, 0, result.stdout)
    assert.match(result.stdout, /is a tty\r+\n/)
  })

  test('run -it takes commands', async () => {
    const result = await server.dockerTty(`run --rm -it ${IMAGE} sh`, { input: 'echo $((40+2))\nexit 5\n' })
    assert.match(result.stdout, /42/)
    assert.equal(result.code, 5)
  })

  test('environment, working directory, user, host name, label', async () => {
    const text = await ok('run', '--rm', '-e', 'A=b c', '-w', '/tmp', '-u', '1000:1001', '-h', 'box', '-l', 'k=v', IMAGE,
      'sh', '-c', 'echo "$A|$PWD|$(id -u):$(id -g)|$(hostname)"')
    assert.equal(text, 'b c|/tmp|1000:1001|box')
  })

  test('an unknown command gives 127, one that may not run 126', async () => {
    const unknown = await docker('run', '--rm', IMAGE, 'no-such-command')
    assert.equal(unknown.code, 127)
    assert.match(unknown.stderr, /no-such-command/)
    const denied = await docker('run', '--rm', IMAGE, '/etc/passwd')
    assert.equal(denied.code, 126)
  })

  test('an unknown image is said to be one', async () => {
    const result = await docker('run', '--rm', '--pull', 'never', 'no/such:image')
    assert.equal(result.code, 125)
    assert.match(result.stderr, /No such image: no\/such:image/)
  })

  test('a pull from a registry that is not there says so', async () => {
    const result = await docker('pull', '127.0.0.1:1/no/such:image')
    assert.notEqual(result.code, 0)
    assert.match(result.stderr, /127\.0\.0\.1:1\/v2\/.*connection refused/)
  })

  test('names are unique', async () => {
    const id = await background(IMAGE, 'sleep', '1000')
    const again = await docker('create', '--name', id, IMAGE)
    assert.notEqual(again.code, 0)
    assert.match(again.stderr, /Conflict\. The container name "\/.*" is already in use by container/)
    await remove(id)
  })

  test('--init, --read-only, --tmpfs', async () => {
    assert.match(await ok('run', '--rm', '--init', IMAGE, 'ps', '-o', 'pid,comm'), /\n\s+1 /)
    const result = await docker('run', '--rm', '--read-only', '--tmpfs', '/t', IMAGE, 'sh', '-c', 'touch /t/x && ! touch /x')
    assert.equal(result.code, 0, result.stderr)
  })

  test('bind mounts and named volumes', async () => {
    const dir = fs.mkdtempSync(path.join(server.root, 'bind-'))
    fs.writeFileSync(path.join(dir, 'file'), 'from the host')
    assert.equal(await ok('run', '--rm', '-v', `${dir}:/in:ro`, IMAGE, 'cat', '/in/file'), 'from the host')
    const volume = name('vol')
    await ok('run', '--rm', '-v', `${volume}:/data`, IMAGE, 'sh', '-c', 'echo kept > /data/f')
    assert.equal(await ok('run', '--rm', '--mount', `type=volume,src=${volume},dst=/data`, IMAGE, 'cat', '/data/f'), 'kept')
    await ok('volume', 'rm', volume)
  })
})

describe('lifecycle', () => {
  test('create, start, stop, start, restart, rm', async () => {
    const id = name()
    await ok('create', '--name', id, IMAGE, 'sleep', '1000')
    assert.equal((await server.info(id)).State.Status, 'created')
    await ok('start', id)
    assert.equal((await server.info(id)).State.Status, 'running')
    await ok('stop', '-t', '1', id)
    const stopped = await server.info(id)
    assert.equal(stopped.State.Status, 'exited')
    assert.equal(stopped.State.ExitCode, 137)
    await ok('start', id)
    await ok('restart', '-t', '0', id)
    assert.equal((await server.info(id)).State.Status, 'running')
    const refused = await docker('rm', id)
    assert.notEqual(refused.code, 0)
    assert.match(refused.stderr, /container is running: stop the container before removing or force remove/)
    await ok('rm', '-f', id)
  })

  test('start -a -i', async () => {
    const id = name()
    await ok('create', '-i', '--name', id, IMAGE, 'cat')
    const result = await docker('start', '-a', '-i', id, { input: 'through\n' })
    assert.equal(result.stdout, 'through\n')
    await remove(id)
  })

  test('what is done already is 304', async () => {
    const id = await background(IMAGE, 'sleep', '1000')
    assert.equal((await server.request('POST', `/containers/${id}/start`)).status, 304)
    await ok('kill', id)
    await server.waitState(id, 'exited')
    assert.equal((await server.request('POST', `/containers/${id}/stop`)).status, 304)
    await remove(id)
  })

  test('kill, with a signal that is handled', async () => {
    const id = await background(IMAGE, 'sh', '-c', 'trap "echo got it; exit 3" USR1; while :; do sleep 0.05; done')
    await until('the trap', async () => { await docker('kill', '-s', 'USR1', id); return (await server.info(id)).State.Status === 'exited' })
    assert.equal((await server.info(id)).State.ExitCode, 3)
    const dead = await docker('kill', id)
    assert.match(dead.stderr, /is not running/)
    const unknown = await server.request('POST', `/containers/${id}/kill?signal=NONSENSE`)
    assert.ok([400, 409].includes(unknown.status), unknown.text)
    await remove(id)
  })

  test('pause and unpause', async () => {
    const id = await background(IMAGE, 'sh', '-c', 'while :; do echo x; sleep 0.02; done')
    await ok('pause', id)
    assert.equal((await server.info(id)).State.Paused, true)
    assert.match(await ok('ps', '--filter', `name=${id}`), /\(Paused\)/)
    const before = (await ok('logs', id)).length
    await sleep(200)
    assert.equal((await ok('logs', id)).length, before)
    await ok('unpause', id)
    await until('more output', async () => (await ok('logs', id)).length > before)
    await remove(id)
  })

  test('wait', async () => {
    const id = await background(IMAGE, 'sh', '-c', 'sleep 0.3; exit 9')
    assert.equal(await ok('wait', id), '9')
    assert.equal(await ok('wait', id), '9')
    await remove(id)
  })

  test('wait sends its headers before the end', async () => {
    const id = await background(IMAGE, 'sleep', '1000')
    let headers = false
    const waiting = server.request('POST', `/containers/${id}/wait?condition=next-exit`, { onHead: () => { headers = true } })
    await until('headers', () => headers)
    await ok('kill', id)
    assert.equal((await waiting).json.StatusCode, 137)
    const invalid = await server.request('POST', `/containers/${id}/wait?condition=nonsense`)
    assert.equal(invalid.status, 400)
    assert.match(invalid.json.message, /invalid condition: "nonsense"/)
    await remove(id)
  })

  test('rename', async () => {
    const id = await background(IMAGE, 'sleep', '1000')
    const other = name('renamed')
    await ok('rename', id, other)
    assert.equal((await server.info(other)).Name, `/${other}`)
    assert.equal((await server.request('GET', `/containers/${id}/json`)).status, 404)
    await remove(other)
  })

  test('update', async () => {
    const id = await background('-m', '64m', IMAGE, 'sleep', '1000')
    await ok('update', '-m', '96m', '--memory-swap', '192m', '--restart', 'on-failure:2', id)
    const { HostConfig } = await server.info(id)
    assert.equal(HostConfig.Memory, 96 * 1024 * 1024)
    assert.deepEqual(HostConfig.RestartPolicy, { Name: 'on-failure', MaximumRetryCount: 2 })
    await remove(id)
  })

  test('restart policy', async () => {
    const id = await background('--restart', 'on-failure:2', IMAGE, 'false')
    await until('two restarts', async () => {
      const info = await server.info(id)
      return info.RestartCount === 2 && info.State.Status === 'exited'
    })
    await remove(id)
  })

  test('container prune', async () => {
    const label = name('prune')
    const id = name()
    await ok('create', '--name', id, '-l', label, IMAGE)
    assert.match(await ok('container', 'prune', '-f', '--filter', `label=${label}`), /Deleted Containers:\n[0-9a-f]{64}/)
    assert.equal((await server.request('GET', `/containers/${id}/json`)).status, 404)
  })
})

describe('looking in', () => {
  test('ps and its filters', async () => {
    const label = name('label')
    const one = await background('-l', `${label}=1`, IMAGE, 'sleep', '1000')
    const two = await background('-l', `${label}=2`, IMAGE, 'true')
    await server.waitState(two, 'exited')
    const names = async (...args) => (await ok('ps', '--format', '{{.Names}}', '--filter', `label=${label}`, ...args)).split('\n').filter(Boolean)
    assert.deepEqual(await names(), [one])
    assert.deepEqual(await names('-a'), [two, one])
    assert.deepEqual(await names('-a', '--filter', 'exited=0'), [two])
    assert.deepEqual(await names('--filter', 'status=exited'), [two])
    assert.deepEqual(await names('-a', '--filter', `label=${label}=1`), [one])
    assert.deepEqual(await names('-a', '--filter', `name=^/?${one}$`), [one])
    assert.deepEqual(await names('-a', '--filter', `ancestor=${IMAGE}`), [two, one])
    assert.deepEqual(await names('-a', '--filter', `before=${two}`), [one])
    assert.deepEqual(await names('-a', '--filter', `since=${one}`), [two])
    assert.deepEqual(await names('-a', '--filter', 'isolation=process'), [two, one])
    assert.deepEqual(await names('-a', '--filter', 'isolation=hyperv'), [])
    assert.deepEqual(await names('-a', '--filter', 'network=bridge', '--filter', `id=${(await server.info(one)).Id.slice(0, 20)}`), [one])
    assert.match(await ok('ps', '-s', '--filter', `name=${one}`), /virtual/)
    await remove(one, two)
  })

  test('invalid filters and numbers are named', async () => {
    const cases = [
      ['/containers/json?filters=' + encodeURIComponent('{"nonsense":["x"]}'), /invalid filter 'nonsense'/],
      ['/containers/json?filters=' + encodeURIComponent('{"status":["nonsense"]}'), /invalid filter 'status=nonsense'/],
      ['/containers/json?filters=' + encodeURIComponent('{"exited":["x"]}'), /invalid filter 'exited=x'/],
      ['/containers/json?filters=nonsense', /invalid/],
      ['/containers/json?limit=x', /strconv\.Atoi: parsing "x": invalid syntax/],
      ['/images/json?filters=' + encodeURIComponent('{"dangling":["x"]}'), /invalid filter 'dangling=\[x\]'/],
    ]
    for (const [target, message] of cases) {
      const { status, json } = await server.request('GET', target)
      assert.equal(status, 400, target)
      assert.match(json.message, message)
    }
  })

  test('inspect', async () => {
    const id = await background('-p', '127.0.0.1::80', '-e', 'A=1', IMAGE, 'sleep', '1000')
    const [info] = JSON.parse(await ok('inspect', id))
    for (const key of ['Id', 'Created', 'Path', 'Args', 'State', 'Image', 'ResolvConfPath', 'HostnamePath', 'HostsPath', 'LogPath', 'Name',
      'RestartCount', 'Driver', 'Platform', 'MountLabel', 'ProcessLabel', 'AppArmorProfile', 'ExecIDs', 'HostConfig', 'GraphDriver', 'Mounts', 'Config', 'NetworkSettings'])
      assert.ok(key in info, key)
    assert.equal(info.State.Running, true)
    assert.ok(info.State.Pid > 0)
    assert.ok(info.Config.Env.includes('A=1'))
    assert.match(info.NetworkSettings.Ports['80/tcp'][0].HostPort, /^\d+$/)
    assert.match(info.NetworkSettings.Networks.bridge.IPAddress, /^\d+\.\d+\.\d+\.\d+$/)
    assert.match(await ok('port', id), /80\/tcp -> 127\.0\.0\.1:\d+/)
    const sized = await server.request('GET', `/containers/${id}/json?size=1`)
    assert.ok(sized.json.SizeRootFs > 0)
    const unknown = await docker('inspect', 'no-such-thing')
    assert.match(unknown.stderr, /No such object: no-such-thing/)
    await remove(id)
  })

  test('top shows the host its own pid', async () => {
    const id = await background(IMAGE, 'ping', 'localhost')
    const lines = (await ok('top', id)).split('\n')
    assert.match(lines[0], /^UID\s+PID\s+PPID\s+C\s+STIME\s+TTY\s+TIME\s+CMD$/)
    const pid = lines[1].trim().split(/\s+/)[1]
    assert.match(lines[1], /ping localhost$/)
    assert.equal(fs.readFileSync(`/proc/${pid}/comm`, 'utf8').trim(), 'ping')
    assert.equal(Number(pid), (await server.info(id)).State.Pid)
    const [titles, row] = (await ok('top', id, '-o', 'pid,comm')).split('\n')
    assert.match(titles, /^PID\s+COMMAND$/)
    assert.match(row, new RegExp(`^${pid}\\s+ping$`))
    assert.match(await ok('top', id, 'aux'), /^USER\s+PID\s+%CPU\s+%MEM\s+VSZ\s+RSS\s+TTY\s+STAT\s+START\s+TIME\s+COMMAND/)
    const wrong = await docker('top', id, '-o', 'comm')
    assert.match(wrong.stderr, /Couldn't find PID field in ps output/)
    await remove(id)
  })

  test('top of what does not run', async () => {
    const id = name()
    await ok('create', '--name', id, IMAGE)
    const result = await docker('top', id)
    assert.match(result.stderr, /is not running/)
    await remove(id)
  })

  test('stats', async () => {
    const id = await background('-m', '64m', IMAGE, 'sh', '-c', 'while :; do :; done')
    const [line] = (await ok('stats', '--no-stream', '--format', '{{json .}}', id)).split('\n').map((text) => JSON.parse(text))
    assert.equal(line.Name, id)
    assert.ok(parseFloat(line.CPUPerc) > 1, line.CPUPerc)
    assert.match(line.MemUsage, / \/ 64MiB$/)
    const once = await server.request('GET', `/containers/${id}/stats?stream=false&one-shot=true`)
    for (const key of ['read', 'preread', 'pids_stats', 'blkio_stats', 'cpu_stats', 'precpu_stats', 'memory_stats', 'networks', 'name', 'id'])
      assert.ok(key in once.json, key)
    assert.equal(once.json.preread, '0001-01-01T00:00:00Z')
    await ok('kill', id)
    await server.waitState(id, 'exited')
    const still = await server.request('GET', `/containers/${id}/stats?stream=false`)
    assert.equal(still.status, 200)
    assert.deepEqual(still.json.memory_stats, {})
    await remove(id)
  })

  test('stats stream one a second', async () => {
    const id = await background(IMAGE, 'sleep', '1000')
    const child = server.dockerSpawn('stats', '--format', '{{.Name}}', id)
    let text = ''
    child.stdout.on('data', (chunk) => { text += chunk })
    await until('three frames', () => text.split(id).length > 3)
    await end(child)
    await remove(id)
  })

  test('logs', async () => {
    const id = await background(IMAGE, 'sh', '-c', 'for i in 1 2 3 4 5; do echo line $i; done; echo oops >&2')
    await server.waitState(id, 'exited')
    const all = await docker('logs', id)
    assert.equal(all.stdout, 'line 1\nline 2\nline 3\nline 4\nline 5\n')
    assert.equal(all.stderr, 'oops\n')
    const tail = await docker('logs', '--tail', '2', id)
    assert.equal(tail.stdout + tail.stderr, 'line 5\noops\n')
    const stamped = await docker('logs', '-t', '-n', '1', id)
    assert.match(stamped.stderr, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z oops\n$/)
    assert.equal((await docker('logs', '--since', '2100-01-01T00:00:00Z', id)).stdout, '')
    const none = await server.request('GET', `/containers/${id}/logs`)
    assert.equal(none.status, 400)
    await remove(id)
  })

  test('logs -f ends with the container', async () => {
    const id = await background(IMAGE, 'sh', '-c', 'for i in 1 2 3; do echo $i; sleep 0.1; done')
    const result = await docker('logs', '-f', id)
    assert.equal(result.stdout, '1\n2\n3\n')
    await remove(id)
  })

  test('logs of a terminal are raw, of others multiplexed', async () => {
    const plain = await background(IMAGE, 'echo', 'hello')
    const tty = await background('-t', IMAGE, 'echo', 'hello')
    await server.waitState(plain, 'exited')
    await server.waitState(tty, 'exited')
    const framed = await server.request('GET', `/containers/${plain}/logs?stdout=1`)
    assert.equal(framed.headers['content-type'], 'application/vnd.docker.multiplexed-stream')
    assert.deepEqual([...framed.raw.subarray(0, 8)], [1, 0, 0, 0, 0, 0, 0, 6])
    const raw = await server.request('GET', `/containers/${tty}/logs?stdout=1`)
    assert.equal(raw.headers['content-type'], 'application/vnd.docker.raw-stream')
    assert.equal(raw.text, 'hello\r\n')
    const old = await server.request('GET', `/v1.41/containers/${plain}/logs?stdout=1`)
    assert.equal(old.headers['content-type'], 'application/vnd.docker.raw-stream')
    await remove(plain, tty)
  })

  test('diff', async () => {
    const id = await background(IMAGE, 'sh', '-c', 'echo x > /etc/new; rm /etc/group; echo y >> /etc/passwd')
    await server.waitState(id, 'exited')
    const lines = (await ok('diff', id)).split('\n')
    for (const line of ['C /etc', 'A /etc/new', 'D /etc/group', 'C /etc/passwd']) assert.ok(lines.includes(line), line)
    await remove(id)
  })
})

describe('attach and exec', () => {
  test('attach sees what comes, and its end', async () => {
    const id = await ok('create', '-i', IMAGE, 'sh', '-c', 'read line; echo "got $line"; exit 4')
    const result = await docker('start', '-a', '-i', id, { input: 'this\n' })
    assert.equal(result.stdout, 'got this\n')
    assert.equal(result.code, 4)
    await remove(id)
  })

  // As with Docker: its output ends with the client's input, its status is waited for.
  test('attach to a container whose input others may go on with', async () => {
    const id = await background('-i', IMAGE, 'sh', '-c', 'read line; echo "got $line"; exit 4')
    assert.equal((await docker('attach', id, { input: 'this\n' })).code, 4)
    assert.equal(await ok('logs', id), 'got this')
    await remove(id)
  })

  test('attach with logs gives the past first', async () => {
    const id = await background(IMAGE, 'sh', '-c', 'echo past; sleep 1000')
    await until('a log line', async () => (await ok('logs', id)) === 'past')
    const head = await new Promise((resolve, reject) => {
      server.request('POST', `/containers/${id}/attach?logs=1&stream=0&stdout=1`).then(resolve, reject)
    })
    assert.equal(head.status, 200)
    assert.equal(head.raw.subarray(8).toString(), 'past\n')
    await remove(id)
  })

  test('detach keys', async () => {
    const id = await background('-it', IMAGE, 'sh')
    const result = await server.dockerTty(`attach --detach-keys ctrl-x ${id}`, { input: 'echo hi\n\x18', timeout: 20_000 })
    assert.notEqual(result.code, -1, 'the client left by its keys')
    assert.equal((await server.info(id)).State.Running, true)
    const invalid = await server.request('POST', `/containers/${id}/attach?stream=1&stdout=1&detachKeys=nonsense`)
    assert.equal(invalid.status, 400)
    assert.match(invalid.json.message, /Invalid detach keys \(nonsense\) provided/)
    await remove(id)
  })

  test('exec', async () => {
    const id = await background(IMAGE, 'sleep', '1000')
    const result = await docker('exec', '-e', 'B=2', '-w', '/tmp', '-u', '5', id, 'sh', '-c', 'echo "$B $PWD $(id -u)"; echo e >&2; exit 6')
    assert.equal(result.stdout, '2 /tmp 5\n')
    assert.equal(result.stderr, 'e\n')
    assert.equal(result.code, 6)
    const piped = await docker('exec', '-i', id, 'sh', '-c', 'md5sum', { input: 'abc' })
    assert.match(piped.stdout, /^900150983cd24fb0d6963f7d28e17f72/)
    const tty = await server.dockerTty(`exec -it ${id} sh -c 'test -t 0 && stty size'`)
    assert.equal(tty.code, 0, tty.stdout)
    await ok('exec', '-d', id, 'touch', '/tmp/detached')
    await until('the detached exec', async () => (await docker('exec', id, 'test', '-e', '/tmp/detached')).code === 0)
    const unknown = await docker('exec', id, 'no-such-command')
    assert.equal(unknown.code, 126)
    await remove(id)
  })

  test('exec: inspect and errors', async () => {
    const id = await background(IMAGE, 'sleep', '1000')
    const made = await server.request('POST', `/containers/${id}/exec`, { body: { Cmd: ['sh', '-c', 'exit 3'], AttachStdout: true } })
    assert.equal(made.status, 201)
    await server.request('POST', `/exec/${made.json.Id}/start`, { body: { Detach: true } })
    const info = await until('the exec', async () => {
      const { json } = await server.request('GET', `/exec/${made.json.Id}/json`)
      return json.Running === false && json
    })
    assert.equal(info.ExitCode, 3)
    assert.equal(info.ProcessConfig.entrypoint, 'sh')
    assert.equal((await server.request('POST', `/containers/${id}/exec`, { body: { Cmd: [] } })).json.message, 'No exec command specified')
    assert.equal((await server.request('GET', '/exec/nonsense/json')).status, 404)
    const size = await server.request('POST', `/containers/${id}/resize?h=x&w=1`)
    assert.equal(size.status, 400)
    assert.match(size.json.message, /invalid resize height "x"/)
    await ok('kill', id)
    await server.waitState(id, 'exited')
    const dead = await docker('exec', id, 'true')
    assert.match(dead.stderr, /is not running/)
    await remove(id)
  })
})

describe('files', () => {
  test('cp in and out, file and directory', async () => {
    const id = await background(IMAGE, 'sleep', '1000')
    const dir = fs.mkdtempSync(path.join(server.root, 'cp-'))
    fs.mkdirSync(path.join(dir, 'tree/sub'), { recursive: true })
    fs.writeFileSync(path.join(dir, 'tree/sub/file'), 'content')
    await ok('cp', path.join(dir, 'tree'), `${id}:/tmp`)
    assert.equal(await ok('exec', id, 'cat', '/tmp/tree/sub/file'), 'content')
    await ok('cp', `${id}:/tmp/tree`, path.join(dir, 'back'))
    assert.equal(fs.readFileSync(path.join(dir, 'back/sub/file'), 'utf8'), 'content')
    assert.equal(await ok('cp', `${id}:/etc/passwd`, '-').then((text) => text.includes('root:')), true)
    const missing = await docker('cp', `${id}:/no/such`, dir)
    assert.match(missing.stderr, /Could not find the file \/no\/such in container/)
    await remove(id)
  })

  test('cp of a stopped container, and a path that climbs out', async () => {
    const id = name()
    await ok('create', '--name', id, IMAGE)
    const stat = await server.request('HEAD', `/containers/${id}/archive?path=/../../etc/passwd`)
    assert.equal(stat.status, 200)
    const header = JSON.parse(Buffer.from(stat.headers['x-docker-container-path-stat'], 'base64').toString())
    assert.equal(header.name, 'passwd')
    assert.notEqual(header.size, fs.statSync('/etc/passwd').size, 'the image\'s, not the host\'s')
    const none = await server.request('HEAD', `/containers/${id}/archive`)
    assert.equal(none.status, 400)
    await remove(id)
  })

  test('export and import', async () => {
    const id = await background(IMAGE, 'sh', '-c', 'echo marked > /mark')
    await server.waitState(id, 'exited')
    const tar = path.join(server.root, 'export.tar')
    await ok('export', '-o', tar, id)
    assert.match(execFileSync('tar', ['-tf', tar], { encoding: 'utf8' }), /^mark$/m)
    const image = name('imported/image')
    await ok('import', '-c', 'CMD ["cat","/mark"]', tar, image)
    assert.equal(await ok('run', '--rm', image), 'marked')
    await ok('rmi', image)
    await remove(id)
  })

  test('commit', async () => {
    const id = await background(IMAGE, 'sh', '-c', 'echo changed > /changed')
    await server.waitState(id, 'exited')
    const image = name('committed/image')
    assert.match(await ok('commit', '-a', 'me', '-m', 'note', '-c', 'ENV X=y', id, `${image}:1`), /^sha256:[0-9a-f]{64}$/)
    assert.equal(await ok('run', '--rm', `${image}:1`, 'sh', '-c', 'cat /changed; echo $X'), 'changed\ny')
    await ok('rmi', `${image}:1`)
    await remove(id)
  })
})

describe('images', () => {
  test('images and filters', async () => {
    assert.match(await ok('images'), /tabique\/base\s+latest\s+[0-9a-f]{12}/)
    assert.equal(await ok('images', '-q', '--filter', 'reference=tabique/*'), await ok('images', '-q', IMAGE))
    assert.equal(await ok('images', '-q', '--filter', 'reference=nothing/*'), '')
    const { json } = await server.request('GET', '/images/json')
    for (const key of ['Id', 'ParentId', 'RepoTags', 'RepoDigests', 'Created', 'Size', 'SharedSize', 'Labels', 'Containers']) assert.ok(key in json[0], key)
    const old = await server.request('GET', '/v1.43/images/json')
    assert.equal(old.json[0].VirtualSize, old.json[0].Size)
  })

  test('image inspect and history', async () => {
    const [info] = JSON.parse(await ok('image', 'inspect', IMAGE))
    for (const key of ['Id', 'RepoTags', 'RepoDigests', 'Created', 'Config', 'Architecture', 'Os', 'Size', 'GraphDriver', 'RootFS', 'Metadata']) assert.ok(key in info, key)
    assert.ok(info.RootFS.Layers.length > 0)
    assert.match(await ok('history', IMAGE), /IMAGE\s+CREATED\s+CREATED BY\s+SIZE\s+COMMENT/)
    assert.match((await docker('history', 'no/such')).stderr, /No such image: no\/such/)
  })

  test('tag, rmi, rmi in use', async () => {
    const other = name('other/name')
    await ok('tag', IMAGE, `${other}:v1`)
    assert.match(await ok('rmi', `${other}:v1`), /Untagged:/)
    const id = await background(IMAGE, 'sleep', '1000')
    const image = (await server.info(id)).Image
    const used = await docker('rmi', image)
    assert.notEqual(used.code, 0)
    assert.match(used.stderr, /conflict/i)
    await remove(id)
  })

  test('save and load', async () => {
    const copy = name('copy/image')
    const id = await background(IMAGE, 'sh', '-c', 'echo saved > /saved')
    await server.waitState(id, 'exited')
    await ok('commit', id, copy)
    const tar = path.join(server.root, 'save.tar')
    await ok('save', '-o', tar, copy)
    await ok('rmi', copy)
    assert.match(await ok('load', '-i', tar), new RegExp(`Loaded image: ${copy}:latest`))
    assert.equal(await ok('run', '--rm', copy, 'cat', '/saved'), 'saved')
    await ok('rmi', copy)
    await remove(id)
    assert.match((await docker('save', 'no/such')).stderr, /No such image: no\/such|does not exist/)
  })

  test('a hostile archive is refused and leaves nothing', async () => {
    const before = await ok('images', '-aq')
    const result = await docker('load', { input: Buffer.from('this is not an archive'.repeat(100)) })
    assert.notEqual(result.code, 0)
    assert.equal(await ok('images', '-aq'), before)
  })

  test('image prune', async () => {
    assert.match(await ok('image', 'prune', '-f'), /Total reclaimed space/)
  })
})

describe('networks and volumes', () => {
  test('network ls and inspect', async () => {
    const names = (await ok('network', 'ls', '--format', '{{.Name}} {{.Driver}}')).split('\n')
    for (const line of ['bridge bridge', 'host host', 'none null']) assert.ok(names.includes(line), line)
    const id = await background(IMAGE, 'sleep', '1000')
    const [bridge] = JSON.parse(await ok('network', 'inspect', 'bridge'))
    assert.equal(bridge.IPAM.Config.length, 1)
    assert.equal(Object.values(bridge.Containers).some((member) => member.Name === id), true)
    assert.equal(await ok('network', 'ls', '-q', '--filter', 'type=custom'), '')
    assert.match((await docker('network', 'inspect', 'no-such')).stderr, /network no-such not found/)
    await remove(id)
  })

  test('network none, host and container:', async () => {
    assert.equal(await ok('run', '--rm', '--network', 'none', IMAGE, 'sh', '-c', 'ls /sys/class/net'), 'lo')
    const id = await background(IMAGE, 'sleep', '1000')
    const show = ['sh', '-c', 'ip -4 addr show eth0; cat /etc/hosts']
    assert.equal(await ok('run', '--rm', '--network', `container:${id}`, IMAGE, ...show), await ok('exec', id, ...show))
    await remove(id)
  })

  test('published ports answer', async () => {
    const id = await background('-p', '127.0.0.1::8080', IMAGE, 'sh', '-c', 'mkdir /w; echo page > /w/index.html; httpd -f -p 8080 -h /w')
    const port = (await ok('port', id, '8080/tcp')).split(':').at(-1)
    const page = await until('the page', async () => {
      try { return await (await fetch(`http://127.0.0.1:${port}/`)).text() } catch { return null }
    })
    assert.equal(page, 'page\n')
    await remove(id)
  })

  test('volumes', async () => {
    const volume = name('vol')
    assert.equal(await ok('volume', 'create', '--label', 'a=b', volume), volume)
    const [info] = JSON.parse(await ok('volume', 'inspect', volume))
    assert.deepEqual(info.Labels, { a: 'b' })
    assert.equal(info.Driver, 'local')
    assert.equal(await ok('volume', 'ls', '-q', '--filter', 'label=a=b'), volume)
    const id = await background('-v', `${volume}:/v`, IMAGE, 'sleep', '1000')
    assert.match((await docker('volume', 'rm', volume)).stderr, /volume is in use/)
    assert.equal(await ok('volume', 'ls', '-q', '--filter', 'dangling=true', '--filter', `name=${volume}`), '')
    await ok('rm', '-f', id)
    await ok('volume', 'rm', volume)
    assert.match((await docker('volume', 'inspect', volume)).stderr, /no such volume/i)
    assert.match(await ok('volume', 'prune', '-f'), /Total reclaimed space/)
  })
})

describe('events', () => {
  test('a life in order, with filters', async () => {
    const id = name()
    const since = Date.now() / 1000 - 1
    await ok('run', '--rm', '--name', id, '-l', 'ev=1', IMAGE, 'true')
    await until('removal', async () => (await server.request('GET', `/containers/${id}/json`)).status === 404)
    const text = await ok('events', '--since', String(since), '--until', String(Date.now() / 1000), '--filter', `container=${id}`, '--format', '{{.Action}}')
    const actions = text.split('\n')
    for (const action of ['create', 'attach', 'start', 'die', 'destroy']) assert.ok(actions.includes(action), `${action} in ${actions}`)
    assert.ok(actions.indexOf('create') < actions.indexOf('start') && actions.indexOf('start') < actions.indexOf('die'))
    const { text: raw } = await server.request('GET', `/events?since=${since}&until=${Date.now() / 1000}&filters=` + encodeURIComponent(JSON.stringify({ event: ['die'], label: ['ev=1'] })))
    const [die] = raw.trim().split('\n').map((line) => JSON.parse(line))
    assert.equal(die.Type, 'container')
    assert.equal(die.status, 'die')
    assert.equal(die.Actor.Attributes.exitCode, '0')
    assert.ok(die.timeNano > 1e18)
  })

  test('live, with headers at once', async () => {
    let seen = ''
    const child = server.dockerSpawn('events', '--filter', 'type=volume', '--format', '{{.Action}} {{.Actor.ID}}')
    child.stdout.on('data', (chunk) => { seen += chunk })
    let headers = false
    const watching = server.request('GET', '/events', { onHead: (response, request) => { headers = true; request.destroy() } }).catch(() => null)
    await until('headers', () => headers)
    await watching
    const volume = name('vol')
    await until('the event', async () => {
      await ok('volume', 'create', volume)
      await ok('volume', 'rm', volume)
      return seen.includes(`create ${volume}`) && seen.includes(`destroy ${volume}`)
    })
    await end(child)
  })

  test('times that make no sense', async () => {
    const { status, json } = await server.request('GET', '/events?since=20&until=10')
    assert.equal(status, 400)
    assert.match(json.message, /cannot be after `until` time/)
    assert.equal((await server.request('GET', '/events?since=nonsense')).status, 400)
  })
})

describe('the server goes and comes', () => {
  test('kill -9: the container lives, its log and exit status are kept', async () => {
    const id = await background(IMAGE, 'sh', '-c', 'i=0; while [ $i -lt 40 ]; do echo line $i; i=$((i+1)); sleep 0.05; done; exit 11')
    const pid = (await server.info(id)).State.Pid
    await server.halt('SIGKILL')
    assert.ok(fs.existsSync(`/proc/${pid}`), 'the container outlives the server')
    await sleep(500)
    await server.spawn()
    const info = await server.waitState(id, 'exited')
    assert.equal(info.State.ExitCode, 11)
    const lines = (await ok('logs', id)).split('\n')
    assert.deepEqual(lines, Array.from({ length: 40 }, (_, i) => `line ${i}`))
    await remove(id)
  })
})
