// What happens to a page: it is reloaded while its graph runs, another tab is open beside it, nodes are copied, and the
// server is started again while the page stays open.
import { spawn } from 'node:child_process'
import { openSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

import { PACK, listen, openAnother, run } from '../../../../devtools/page.mjs'

const STEPS = 2
const BOOT_MS = 120000

export async function play({ page, context, task, shot }) {
  const server = task.nodes2 ? null : new OwnServer(task.own) // which one is restarted is the same in both renderers
  const booted = server?.boot()
  const seed = task.nodes2 ? 200 : 100 // what the other renderer ran would not run again
  try {
    await open(page, task.address, task.nodes)
    const file = `${task.held}-${seed}`
    await hold(page, file)
    await set(page, { seed, steps: STEPS, weight: 0.75 })
    const before = await look(page)
    const long = await queue(page)
    await goesOn(page, long)
    await page.reload({ waitUntil: 'domcontentloaded' })
    await ready(page, task.nodes + 1)
    await goesOn(page, long)
    writeFileSync(file, '')
    const reloaded = { before, after: await look(page), ...(await follow(page, long)) }
    await shot('reloaded')

    const other = await context.newPage()
    const complaints = listen(other, PACK)
    await open(other, task.url, task.nodes + 1) // with the graph that was open last
    await set(other, { seed: seed + 1, weight: 0.25 })
    await set(page, { seed: seed + 2 })
    const [mine, theirs] = [await queue(page), await queue(other)]
    const tabs = { mine: await follow(page, mine), theirs: await follow(other, theirs) }
    tabs.events = { mine: await prompts(page), theirs: await prompts(other) }
    tabs.ids = { mine, theirs }
    await other.close()

    const copied = await copy(page)
    const restarted = server && (await restart(server, booted, context.browser(), task))
    return { reloaded, tabs, copied, restarted, complaints: [...complaints, ...(restarted?.complaints ?? [])] }
  } finally {
    await server?.stop()
  }
}

async function open(page, address, count) {
  await page.goto(address, { waitUntil: 'domcontentloaded' })
  await ready(page, count)
}

// Wait for the graph, and note from now on what the server says about runs.
async function ready(page, count) {
  await page.waitForFunction((count) => window.app?.extensionManager && window.app.graph?.nodes.length === count, count)
  await page.evaluate(() => {
    window.seen = []
    const { api } = window.comfyAPI.api
    for (const kind of ['progress', 'executed', 'execution_success', 'execution_error'])
      api.addEventListener(kind, ({ detail }) => window.seen.push({ kind, prompt: detail.prompt_id }))
    api.addEventListener('reconnected', () => window.seen.push({ kind: 'reconnected' }))
  })
}

// Put a node before the sampler that holds a run until a file is there.
async function hold(page, file) {
  await page.evaluate((file) => {
    const { graph } = window.app
    const held = window.LiteGraph.createNode('Held')
    held.pos = [1020, -140]
    graph.add(held)
    held.widgets[0].value = file
    graph.nodes.find((node) => node.type === 'ImagePromptApply').connect(0, held, 0)
    held.connect(0, graph.nodes.find((node) => node.type === 'KSampler'), 0)
  }, file)
}

// Give inputs new values, as a person does: a click on the graph lets ComfyUI keep them.
async function set(page, changes) {
  await page.evaluate((changes) => {
    for (const widget of window.app.graph.nodes.flatMap((node) => node.widgets ?? []))
      if (widget.name in changes) {
        widget.value = changes[widget.name]
        widget.callback?.(widget.value)
      }
  }, changes)
  await page.mouse.click(700, 850) // where nothing is
  await sleep(700) // until it is kept for a reload
}

// Press Run; the id of what was queued.
async function queue(page) {
  const answer = page.waitForResponse((each) => each.url().endsWith('/prompt') && each.request().method() === 'POST')
  await page.getByTestId('queue-button').click()
  return (await (await answer).json()).prompt_id
}

// Wait for progress of a run.
async function goesOn(page, id) {
  await page.waitForFunction((id) => window.seen.some((event) => event.prompt === id && event.kind === 'progress'), id)
}

// {progress, ended, pictures}: whether progress of a run is still shown, how it ends, and what its node then shows
async function follow(page, id) {
  const about = ([id, kinds]) => window.seen.filter((event) => event.prompt === id && kinds.includes(event.kind)).at(-1)
  await page.waitForFunction(about, [id, ['execution_success', 'execution_error']])
  return page.evaluate((id) => {
    const kinds = window.seen.filter((event) => event.prompt === id).map((event) => event.kind)
    const saving = window.app.graph.nodes.find((node) => node.type === 'SaveImage')
    const pictures = window.app.nodeOutputs[saving.id]?.images?.length
    return { progress: kinds.includes('progress'), ended: kinds.at(-1), pictures }
  }, id)
}

function prompts(page) {
  return page.evaluate(() => [...new Set(window.seen.map((event) => event.prompt))])
}

// {nodes, views}: the pack's nodes as they are saved, and the views on them. Notices are left out: they come with runs.
function look(page) {
  return page.evaluate(() => {
    const isView = ({ type, name }) => type === 'IMAGE_PROMPT_VIEW' && name !== 'image_prompt_notices'
    const ours = window.app.graph.nodes.filter((node) => node.type.startsWith('ImagePrompt'))
    const views = ours.flatMap((node) =>
      (node.widgets ?? []).filter((widget) => isView(widget)).map((view) => [node.type, view.name])
    )
    return { nodes: ours.map((node) => [node.id, node.type, node.serialize().widgets_values]), views }
  })
}

// The pack's nodes are copied, and the copies changed.
async function copy(page) {
  const before = await look(page)
  await page.evaluate(() => {
    const { canvas, graph } = window.app
    canvas.selectItems(graph.nodes.filter((node) => node.type.startsWith('ImagePrompt')))
    canvas.copyToClipboard()
    canvas.pasteFromClipboard()
  })
  const both = await look(page)
  await page.evaluate((ids) => {
    for (const node of window.app.graph.nodes)
      if (!ids.includes(node.id)) for (const widget of node.widgets ?? []) if (widget.name === 'weight') widget.value = 0.5
  }, before.nodes.map(([id]) => id))
  const after = await look(page)
  return { before, both, after }
}

// The page stays open while its server goes and comes back.
async function restart(server, booted, browser, task) {
  await booted
  const { context, page } = await openAnother(browser, { ...task, url: task.own.url })
  const complaints = listen(page, PACK)
  await open(page, task.own.address, task.nodes)
  await set(page, { seed: 21, steps: STEPS, weight: 0.75 })
  const before = await look(page)
  const first = await run(page)
  await server.stop()
  await server.boot()
  await page.waitForFunction(() => window.seen.some((event) => event.kind === 'reconnected'))
  await set(page, { seed: 22 })
  const second = await follow(page, await queue(page))
  const after = await look(page)
  await context.close()
  return { before, after, first: first.kind, second, complaints }
}

class OwnServer {
  constructor({ command, folder, environment, url, log }) {
    Object.assign(this, { command, folder, environment, url, log: openSync(log, 'a') })
  }

  async boot() {
    const [program, ...rest] = this.command
    const stdio = ['ignore', this.log, this.log]
    this.process = spawn(program, rest, { cwd: this.folder, env: this.environment, stdio })
    this.ended = new Promise((resolve) => this.process.once('exit', resolve))
    const deadline = Date.now() + BOOT_MS
    while (!(await fetch(`${this.url}/system_stats`).catch(() => null))?.ok) {
      if (Date.now() > deadline || this.process.exitCode !== null) throw new Error('the own server does not start')
      await sleep(200)
    }
  }

  async stop() {
    this.process.kill()
    const late = setTimeout(() => this.process.kill('SIGKILL'), 10000)
    await this.ended
    clearTimeout(late)
  }
}
