// rates.js - how fast the counters of rows grow, from one look to the next.

// The same connection in two looks: clocks may be set a little meanwhile, and what was counted does not become less (the counters wrap at 2^32).
const grown = (a, b) => (b - a + 2 ** 32) % 2 ** 32
const same = (a, b) => Math.abs(new Date(a.connected_at) - new Date(b.connected_at)) < 1000 && grown(a.recv_msg, b.recv_msg) < 2 ** 31 && grown(a.send_msg, b.send_msg) < 2 ** 31

// look(rows): remembers them. of(row): { in, out, bytes } a second, or undefined: seen for the first time, or connected anew.
export function clientRates () {
  let before = new Map(); let now = new Map()
  return {
    look (rows) {
      const at = performance.now()
      before = new Map([...before, ...now].filter(([, one]) => at - one.at < 60000))
      now = new Map(rows.map((row) => [row.clientid, { at, row }]))
    },
    of (row) {
      const [old, last] = [before.get(row.clientid), now.get(row.clientid)]
      if (!old || !last || !same(old.row, row) || last.at - old.at < 100) return undefined
      const elapsed = (last.at - old.at) / 1000
      return { in: grown(old.row.recv_msg, row.recv_msg) / elapsed, out: grown(old.row.send_msg, row.send_msg) / elapsed, bytes: Math.max(0, row.recv_msg_bytes - old.row.recv_msg_bytes) / elapsed }
    }
  }
}
