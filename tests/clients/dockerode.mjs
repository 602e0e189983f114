// dockerode.mjs - calls of the Node client: streams, attach, exec, demultiplexing,
// followProgress. Each gets the engine's socket and removes what it made.
import { PassThrough } from 'node:stream'
import Docker from 'dockerode'

const Image = 'tabique/base'

function collector() {
  const stream = new PassThrough()
  let text = ''
  stream.on('data', (chunk) => { text += chunk })
  return { stream, text: () => text }
}

const ended = (stream) => new Promise((resolve, reject) => stream.on('end', resolve).on('close', resolve).on('error', reject))

async function withContainer(socket, options, fn) {
  const docker = new Docker({ socketPath: socket, version: 'v1.41' })
  const container = await docker.createContainer({ Image, ...options })
  try {
    return await fn(container, docker)
  } finally {
    await container.remove({ force: true, v: true }).catch(() => {})
  }
}

async function execute(container, options, input) {
  const exec = await container.exec({ AttachStdout: true, AttachStderr: true, ...options })
  const stream = await exec.start({ hijack: true, stdin: options.AttachStdin })
  const out = collector(), err = collector()
  container.modem.demuxStream(stream, out.stream, err.stream)
  if (input) stream.write(input)
  if (options.AttachStdin) stream.end()
  await ended(stream)
  const { Running, ExitCode } = await exec.inspect()
  return [out.text(), err.text(), Running, ExitCode]
}

export const scenarios = {
  'run gives output and status': async (socket) => {
    const docker = new Docker({ socketPath: socket, version: 'v1.41' })
    const out = collector(), err = collector()
    const [data, container] = await docker.run(Image, ['sh', '-c', 'echo out; echo err >&2; exit 3'], [out.stream, err.stream], { Tty: false })
    await container.remove()
    return [data, out.text(), err.text()]
  },
  'attach: body of the request is no input': (socket) =>
    withContainer(socket, { Cmd: ['cat'], OpenStdin: true, StdinOnce: true, AttachStdin: true }, async (container) => {
      const stream = await container.attach({ stream: true, hijack: true, stdin: true, stdout: true, stderr: true })
      const out = collector(), err = collector()
      container.modem.demuxStream(stream, out.stream, err.stream)
      await container.start()
      stream.write('hello\n')
      stream.end()
      return [await container.wait(), out.text(), err.text()]
    }),
  'attach: terminal': (socket) =>
    withContainer(socket, { Cmd: ['sh', '-c', 'read x; echo got $x'], OpenStdin: true, Tty: true }, async (container) => {
      const stream = await container.attach({ stream: true, hijack: true, stdin: true, stdout: true })
      let text = ''
      stream.on('data', (chunk) => { text += chunk })
      await container.start()
      await container.resize({ h: 30, w: 90 })
      stream.write('it\n')
      await ended(stream)
      return text
    }),
  'exec: output, errors, status': (socket) =>
    withContainer(socket, { Cmd: ['sleep', '1000'] }, async (container) => {
      await container.start()
      return [await execute(container, { Cmd: ['sh', '-c', 'echo o; echo e >&2; exit 4'] }),
        await execute(container, { Cmd: ['wc', '-c'], AttachStdin: true }, 'x'.repeat(5000)),
        await execute(container, { Cmd: ['no-such'] })]
    }),
  'logs: demultiplexed and followed': (socket) =>
    withContainer(socket, { Cmd: ['sh', '-c', 'echo o; echo e >&2'] }, async (container) => {
      await container.start()
      const stream = await container.logs({ follow: true, stdout: true, stderr: true })
      const out = collector(), err = collector()
      container.modem.demuxStream(stream, out.stream, err.stream)
      await ended(stream)
      return [out.text(), err.text()]
    }),
  'archive: put and get': (socket) =>
    withContainer(socket, {}, async (container, docker) => {
      const tar = await (await docker.getContainer(container.id).getArchive({ path: '/etc/passwd' }))
      const chunks = []
      for await (const chunk of tar) chunks.push(chunk)
      await container.putArchive(Buffer.concat(chunks), { path: '/tmp' })
      const head = await container.infoArchive({ path: '/tmp/passwd' })
      const stat = JSON.parse(Buffer.from(head.headers['x-docker-container-path-stat'], 'base64'))
      return [stat.name, stat.size > 0, stat.mode]
    }),
  'wait, stats, top, changes': (socket) =>
    withContainer(socket, { Cmd: ['sleep', '1000'] }, async (container) => {
      await container.start()
      const stats = await container.stats({ stream: false })
      const top = await container.top()
      await container.kill()
      return [Object.keys(stats).sort(), top.Titles, await container.wait()]
    }),
  'followProgress: build': async (socket) => {
    const docker = new Docker({ socketPath: socket, version: 'v1.41' })
    const { default: tar } = await import('tar-fs')
    const fs = await import('node:fs'), os = await import('node:os'), path = await import('node:path')
    const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'dockerode-'))
    fs.writeFileSync(path.join(dir, 'Dockerfile'), `FROM ${Image}\nRUN echo built\n`)
    const output = await docker.buildImage(tar.pack(dir), { t: 'dockerode/built', rm: true })
      .then((stream) => new Promise((resolve, reject) => docker.modem.followProgress(stream, (error, list) => (error ? reject(error) : resolve(list)))))
      .finally(() => fs.rmSync(dir, { recursive: true }))
    await docker.getImage('dockerode/built').remove()
    return output.map((line) => line.stream ?? '').join('').split('\n').filter((line) => /^(Step|built|Successfully tagged)/.test(line))
  },
  'events': async (socket) => {
    const since = Math.floor(Date.now() / 1000) - 1
    const names = await withContainer(socket, { name: 'dockerode-events', Cmd: ['true'] }, async (container, docker) => {
      await container.start()
      await container.wait()
      const stream = await docker.getEvents({ since, until: Math.floor(Date.now() / 1000) + 1, filters: { container: [container.id] } })
      const seen = []
      // One event a chunk: this is how its users read them.
      stream.on('data', (chunk) => seen.push(JSON.parse(chunk).Action))
      await ended(stream)
      return seen
    })
    return names
  },
  'errors': async (socket) => {
    const docker = new Docker({ socketPath: socket, version: 'v1.41' })
    const told = async (promise) => promise.then(() => 'no error', (error) => [error.statusCode, error.reason, error.json?.message])
    return [await told(docker.getContainer('nosuch').inspect()), await told(docker.getImage('nosuch').inspect()), await told(docker.getNetwork('nosuch').inspect()),
      await told(docker.getVolume('nosuch').inspect()), await told(docker.createContainer({ Image: 'nosuch' })), await told(docker.getExec('nosuch').inspect())]
  },
  'networks and volumes': async (socket) => {
    const docker = new Docker({ socketPath: socket, version: 'v1.41' })
    const network = await docker.createNetwork({ Name: 'dockerode-net', Labels: { a: 'b' } })
    const volume = await docker.createVolume({ Name: 'dockerode-vol' })
    const seen = [(await network.inspect()).Labels, (await docker.listNetworks({ filters: { label: ['a=b'] } })).length, volume.name ?? volume.Name,
      (await docker.listVolumes({ filters: { name: ['dockerode-vol'] } })).Volumes.length]
    await network.remove()
    await docker.getVolume('dockerode-vol').remove()
    return seen
  },
}
