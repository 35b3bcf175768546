// live.js - one stream of the broker's counters for the whole page, and the rates that follow from two of them. Kept for five minutes.
import { stream } from './api.js'

export const KEPT = 300
export const history = [] // { at (ms), stats, rates: { counter: per second }, cpu: [share of a core by shard], latency: { p50, p99 } }
export const changes = new EventTarget() // 'sample', 'state'
export let connected = false
let aborter = null

// Value below which this share of the difference of two histograms lies; null when nothing came.
function quantile (bounds, counts, share) {
  const all = counts.reduce((sum, count) => sum + count, 0)
  if (!all) return null
  let seen = 0
  for (let i = 0; i < counts.length; i++) {
    if (seen + counts[i] >= share * all) {
      const low = i ? bounds[i - 1] : 0; const high = bounds[i] ?? bounds.at(-1)
      return low + (high - low) * (share * all - seen) / (counts[i] || 1)
    }
    seen += counts[i]
  }
  return bounds.at(-1)
}

function difference (now, before) {
  return now.counts.map((count, i) => Math.max(0, count - (before?.counts[i] ?? 0)))
}

function sample (stats) {
  const before = history.at(-1)
  const at = Date.parse(stats.at)
  const one = { at, stats, rates: {}, cpu: [], latency: {} }
  const elapsed = before ? (at - before.at) / 1000 : 0
  if (elapsed > 0) {
    for (const [name, value] of Object.entries(stats.counters)) one.rates[name] = Math.max(0, value - (before.stats.counters[name] ?? 0)) / elapsed
    one.cpu = stats.shards.map((shard, i) => Math.max(0, shard.cpu_seconds - (before.stats.shards[i]?.cpu_seconds ?? 0)) / elapsed * 100)
    for (const histogram of stats.histograms) {
      const older = before.stats.histograms.find((other) => other.name === histogram.name)
      const counts = difference(histogram, older)
      one.latency[histogram.name] = { p50: quantile(histogram.bounds, counts, 0.5), p99: quantile(histogram.bounds, counts, 0.99) }
    }
  }
  history.push(one)
  if (history.length > KEPT) history.shift()
  changes.dispatchEvent(new Event('sample'))
}

function state (now) {
  if (connected === now) return
  connected = now
  changes.dispatchEvent(new Event('state'))
}

export async function start () {
  stop()
  const mine = aborter = new AbortController()
  while (!mine.signal.aborted) {
    try {
      await stream('/stats/stream?interval_ms=1000', mine.signal, (stats) => { state(true); sample(stats) })
    } catch (error) {
      if (error.status === 401) return
    }
    if (mine.signal.aborted) return
    state(false)
    await new Promise((resolve) => setTimeout(resolve, 2000))
  }
}

export function stop () {
  aborter?.abort()
  history.length = 0
  connected = false
}
