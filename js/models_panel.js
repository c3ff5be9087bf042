// @ts-check
// The panel of model files: what the open workflow needs comes first, then all that image prompts can use. Its badge
// counts the files that the workflow lacks.
import { api } from '../../scripts/api.js'
import { app } from '../../scripts/app.js'
import { addPanel } from './lib/panel.mjs'
import { say } from './lib/words.mjs'
import { describe } from './models_panel/graph.mjs'
import { panelBody, problem } from './models_panel/view.mjs'

const ID = 'image-prompt-models'
const COMMAND = 'image-prompt.models'
const REPORT = 'ImagePromptModelReport'
const PAUSE_MS = 500 // after a change of the graph
const READING_MS = 4000 // until the server is asked again about folders that it still reads
const MOST_READS = 30

/** @type {import('./lib/panel.mjs').Panel} */
let panel
let asked = '' // the graph that the server was asked about
let shown = '' // what is drawn
let reads = 0 // how often it was asked again about folders
let waits = 0 // the timer of a change
let rereads = 0 // the timer of folders
/** @type {any} */
let needed = null
/** @type {any} */
let report = null
/** @type {Map<string, boolean>} */
const closed = new Map()

app.registerExtension({
  name: COMMAND,
  commands: [{ id: COMMAND, label: 'Image Prompt: show model files', icon: 'pi pi-box', function: open }],
  menuCommands: [{ path: ['Extensions', 'Image Prompt'], commands: [COMMAND] }],

  setup() {
    panel = addPanel({ id: ID, icon: 'pi-box', words: 'models', opened, searched: draw, refresh })
    api.addEventListener('graphChanged', graphChanged)
    graphChanged()
  },

  afterConfigureGraph: graphChanged,

  refreshComboInNodes: () => askAgain(),

  nodeCreated(node) {
    if (node.comfyClass === REPORT) addOpener(node)
  }
})

/** Open the panel. What is given to the command as `search` is put into the search box.
 * @param {{search?: string}} [given] */
function open(given) {
  panel.open()
  if (typeof given?.search === 'string') panel.search(given.search)
}

/** Show what is known, until the server has answered. */
function opened() {
  draw()
  ask()
}

/** A button on the report's node that opens the panel; it is not saved.
 * @param {any} node */
function addOpener(node) {
  const button = node.addWidget('button', 'models_panel', null, () => open(), { serialize: false })
  button.serialize = false
  button.label = say('models.open')
  node.setSize([node.size[0], Math.max(node.size[1], node.computeSize()[1])])
}

function graphChanged() {
  clearTimeout(waits)
  waits = setTimeout(askNeeded, PAUSE_MS)
}

/** Ask which files the graph needs, unless nothing has changed that could matter. */
async function askNeeded() {
  const graph = JSON.stringify(describe(/** @type {any} */ (app).rootGraph ?? app.graph))
  if (graph === asked) return
  asked = graph
  try {
    const headers = { 'Content-Type': 'application/json' }
    const answer = await answered(await api.fetchApi('/image-prompt/needed', { method: 'POST', headers, body: graph }))
    if (asked !== graph) return // it has changed meanwhile
    needed = answer
    panel.setBadge(needed.missing ? String(needed.missing) : '')
    readAgainLater(needed.unread)
    draw()
  } catch (error) {
    asked = ''
    if (panel.isOpen()) fail(error)
  }
}

/** Ask for all that is shown. */
async function ask() {
  panel.setBusy(true)
  try {
    await askNeeded()
    report = await answered(await api.fetchApi('/image-prompt/models'))
    readAgainLater(report.unread)
    draw()
  } catch (error) {
    fail(error)
  } finally {
    panel.setBusy(false)
  }
}

/** Ask again also about a graph that has not changed. */
function askAgain() {
  asked = ''
  return panel.isOpen() ? ask() : askNeeded()
}

/** Look for files again, also in the lists of the nodes. Its hook asks the server. */
async function refresh() {
  reads = 0
  panel.setBusy(true)
  try {
    await app.refreshComboInNodes()
  } finally {
    panel.setBusy(false)
  }
}

/** @param {string[]} unread folders */
function readAgainLater(unread) {
  clearTimeout(rereads)
  if (unread.length && reads++ < MOST_READS) rereads = setTimeout(askAgain, READING_MS)
}

/** @param {Response} response */
async function answered(response) {
  const answer = await response.json()
  if (!response.ok) throw new Error(answer.error)
  return answer
}

/** @param {unknown} error */
function fail(error) {
  shown = ''
  panel.body.replaceChildren(problem(error instanceof Error ? error.message : String(error), ask))
}

/** Draw the panel if it is open and shows something else. */
function draw() {
  if (!panel.isOpen() || !report) return
  const now = JSON.stringify([report, needed, panel.searched()])
  if (now === shown && panel.body.childElementCount) return
  shown = now
  const { scrollTop } = panel.body
  panel.body.replaceChildren(...panelBody({ report, needed, searched: panel.searched(), closed }))
  panel.body.scrollTop = scrollTop
}
