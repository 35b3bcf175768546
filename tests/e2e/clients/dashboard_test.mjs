// node dashboard_test.mjs URL SHOTS: a person at the dashboard, in a headless Chromium. Prints "ok NAME" or "FAILED NAME: WHY". Screenshots go to the folder SHOTS.
// The broker is prepared by run-dashboard: users admin and watcher, clients with hostile names, retained messages, a WebSocket listener.
import { rmSync } from 'node:fs'
import { person, runAll } from './person.mjs'
import { seeing } from './dashboard_seeing.mjs'
import { acting } from './dashboard_acting.mjs'
import { frame } from './dashboard_frame.mjs'

const [url, shots] = process.argv.slice(2)
rmSync(shots, { recursive: true, force: true }) // those of an earlier run
const me = await person(url, shots)
let failed = 1
try {
  const context = { url, shots, HOSTILE: process.env.HOSTILE } // a client id, a topic, … that would be markup
  failed = await runAll(me, { ...seeing(me, context), ...acting(me, context), ...frame(me, context) })
} finally {
  await me.browser.close()
}
process.exit(failed ? 1 : 0)
