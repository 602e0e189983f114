// own.mjs - one server with its defaults for a whole test file: started before its first
// test, stopped after its last. Importing it is all there is to do.
import { after, before } from 'node:test'
import { asker } from './bad_requests.mjs'
import { Server } from './server.mjs'

export const IMAGE = 'tabique/base'
export const walls = ['process', 'hyperv']
export let server // both from the first hook on
export let ask

before(async () => { server = await Server.start(); ask = asker(server.socket) }, { timeout: 120_000 })
after(async () => { await server?.stop() }, { timeout: 120_000 })
