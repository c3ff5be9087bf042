// @ts-check
// The view of Image Prompt Regions: references, a board to draw on, and what is wrong. It edits the text of the node.
import { colourOf } from '../lib/colours.mjs'
import { element } from '../lib/elements.mjs'
import { follow, valueOf, write } from '../lib/inputs.mjs'
import { lookRegularly } from '../lib/outputs.mjs'
import { addView } from '../lib/view.mjs'
import { say } from '../lib/words.mjs'
import { board } from './board.mjs'
import { lastShape, latentOf, referencesOf } from './graph.mjs'
import { button, entry } from './legend.mjs'
import { format, owner, parse, withLine, withMore } from './text.mjs'

/** @typedef {import('../../devtools/types/comfy').Node} Node */
/** @typedef {import('./text.mjs').Shape} Shape */

const TEXT = 'regions'
const FOLLOWED = [TEXT, 'width', 'height', 'feather']
const UNKNOWN = '#9a9a9a'
const SIZE = { height: 330, width: 400 }

/** @param {Node} node */
export function addRegions(node) {
  /** @type {{active: number, chosen: number, tool: 'rect' | 'polygon', cuts: boolean}} */
  const state = { active: 1, chosen: 0, tool: 'rect', cuts: false }
  let references = referencesOf(node)
  /** @type {import('./graph.mjs').Shape | undefined} */
  let latent
  let isLinked = false
  let seen = ''

  let read = { text: '', ...parse('') }

  const text = () => String(valueOf(node, TEXT) ?? '')
  const regions = () => (read = read.text === text() ? read : { text: text(), ...parse(text()) })
  const shapes = () => regions().shapes
  /** @param {string} changed */
  const rewrite = (changed) => write(node, TEXT, changed)

  /** References that are connected, and numbers that the text has besides. */
  function entries() {
    const known = references.map(({ number, name, picture }) => ({ number, name, picture, isConnected: true }))
    const numbers = shapes().map(({ label }) => (owner(label, references) ? 0 : Number(label)))
    const more = known.length || numbers.some(isNumber) ? numbers.filter(isNumber) : [1]
    for (const number of new Set(more)) known.push({ number, name: '', picture: undefined, isConnected: false })
    return known
      .sort((one, other) => one.number - other.number)
      .map((each) => ({ ...each, title: each.name || say('regions.reference', { number: each.number }), colour: colourOf(each.number) }))
  }

  /** What is on the board; shapes of nobody are grey. */
  function marks() {
    const known = entries()
    const lost = { number: 0, name: '?', title: '?', colour: UNKNOWN, picture: undefined }
    return [...known, lost].map((each) => ({
      ...each,
      shapes: shapes().filter(({ label }) => owner(label, known) === each.number)
    }))
  }

  /** @param {number} line */
  function choose(line) {
    state.chosen = line
    const found = shapes().find((shape) => shape.line === line)
    const number = found ? owner(found.label, entries()) : 0
    if (number && number !== state.active) state.active = number
    refresh()
  }

  const { canvas, redraw, giveUp } = board({
    ratio: () => {
      const { width, height } = latent ?? { width: Number(valueOf(node, 'width')), height: Number(valueOf(node, 'height')) }
      return width > 0 && height > 0 ? width / height : 1
    },
    shapes,
    text,
    restore: rewrite,
    chosen: () => state.chosen,
    choose,
    isActive: ({ label }) => owner(label, entries()) === state.active,
    tool: () => state.tool,
    cuts: () => state.cuts,
    add: (kind, points) => {
      const [changed, line] = withMore(text(), format({ label: String(state.active), cut: state.cuts, kind, points }))
      rewrite(changed)
      return line
    },
    reshape: (line, points) => {
      const shape = shapes().find((each) => each.line === line)
      if (shape) rewrite(withLine(text(), line, format({ ...shape, points })))
    },
    remove: (line) => {
      if (line) rewrite(withLine(text(), line))
      choose(0)
    },
    drawn: () => {
      state.tool = 'rect'
      state.cuts = false
      refresh()
    },
    scene: () => ({
      marks: marks(),
      chosen: state.chosen,
      feather: Number(valueOf(node, 'feather')) || 0,
      colour: colourOf(state.active),
      hint: say('regions.hint', { name: entries().find(({ number }) => number === state.active)?.title ?? '' })
    })
  })
  canvas.setAttribute('aria-label', say('regions.board'))

  const legend = element('div', { style: 'display:flex;flex-wrap:wrap;gap:4px;align-items:center' })
  const message = element('div', { style: 'min-height:16px;font:12px system-ui,sans-serif' })
  const paper = element('div', { style: 'flex:1 1 0;min-height:180px;position:relative' }, canvas)
  const root = element('div', { style: 'display:flex;flex-direction:column;gap:4px;width:100%;height:100%' }, legend, paper, message)
  canvas.style.position = 'absolute'
  canvas.style.inset = '0'
  root.dataset.imagePrompt = TEXT

  function tools() {
    /** @param {'polygon' | 'cuts'} what @param {boolean} isOn @param {() => void} turn */
    const tool = (what, isOn, turn) =>
      button(say(`regions.${what}Help`), isOn, () => (turn(), refresh(), canvas.focus()), say(`regions.${what}`))
    return [
      element('span', { style: 'flex:1' }),
      tool('polygon', state.tool === 'polygon', () => {
        if (state.tool === 'polygon') giveUp()
        else state.tool = 'polygon'
      }),
      tool('cuts', state.cuts, () => (state.cuts = !state.cuts))
    ]
  }

  /** What is wrong with the text, or what to do now. */
  function said() {
    if (isLinked) return { isWrong: false, words: say('regions.linked') }
    const { problems, shapes: found } = regions()
    if (problems.length) {
      const { line, problem, given } = problems[0]
      return { isWrong: true, words: say(`regions.problems.${problem}`, { line, given }) }
    }
    const lost = found.find(({ label }) => !owner(label, references))
    if (lost) return { isWrong: true, words: say('regions.lost', { line: lost.line, label: lost.label }) }
    return { isWrong: false, words: state.tool === 'polygon' ? say('regions.polygonHelp') : '' }
  }

  let shown = ''
  /** Make the buttons anew, if anything that they show has changed; the one that had the focus keeps it.
   * @param {string} key @param {() => HTMLElement[]} make */
  function fill(key, make) {
    if (key === shown) return
    shown = key
    const focused = [...legend.children].findIndex((each) => each === document.activeElement)
    legend.replaceChildren(...make())
    if (focused >= 0) /** @type {HTMLElement | undefined} */ (legend.children[focused])?.focus()
  }

  function refresh() {
    const known = entries()
    if (!known.some(({ number }) => number === state.active)) state.active = known[0].number
    if (!shapes().some(({ line }) => line === state.chosen)) state.chosen = 0
    const pressed = (/** @type {number} */ number) => {
      state.active = number
      state.chosen = 0
      refresh()
    }
    fill(
      JSON.stringify([known.map(({ picture, ...each }) => [each, picture?.src]), state.active, state.tool, state.cuts]),
      () => [
        ...known.map((each) => entry({ ...each, shapes: [] }, each.number === state.active, () => pressed(each.number))),
        ...tools()
      ]
    )
    paper.style.opacity = isLinked ? '0.4' : '1'
    paper.inert = isLinked
    const { isWrong, words } = said()
    message.textContent = words
    message.style.color = isWrong ? 'var(--error-text,#ff6b6b)' : 'var(--descrip-text,#999)'
    message.setAttribute('role', isWrong ? 'alert' : 'status')
    redraw()
  }

  /** Look whether the nodes before this one have changed. */
  function look() {
    references = referencesOf(node)
    const slot = node.findInputSlot('latent')
    const isLatent = slot >= 0 && node.isInputConnected(slot)
    latent = latentOf(node) ?? (isLatent ? lastShape(node) : undefined)
    isLinked = node.isInputConnected(node.findInputSlot(TEXT))
    const found = JSON.stringify([references.map(({ picture, ...each }) => [each, picture?.src]), latent, isLinked])
    if (found === seen) return
    seen = found
    refresh()
  }

  const connected = node.onConnectionsChange
  node.onConnectionsChange = function (...given) {
    connected?.apply(this, given)
    requestAnimationFrame(look) // sockets move after this
  }

  addView(node, 'regions_view', root, SIZE)
  follow(node, FOLLOWED, refresh)
  lookRegularly(node, look)
  refresh()
}

/** @param {number} value */
function isNumber(value) {
  return Number.isInteger(value) && value > 0
}
