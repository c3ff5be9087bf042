// @ts-check
// The view on Image Prompt Influence Map: the map of one reference over one picture, in the opacity of the input.
import { sharpCanvas } from '../lib/canvas.mjs'
import { styled } from '../lib/elements.mjs'
import { follow, isLinked, valueOf, write } from '../lib/inputs.mjs'
import { lookRegularly, outputOf, pictureFiles } from '../lib/outputs.mjs'
import { oneStep } from '../lib/undo.mjs'
import { addView } from '../lib/view.mjs'
import { say } from '../lib/words.mjs'
import { colourPixels, factorOf } from './colours.mjs'

/** @typedef {import('../../devtools/types/comfy').Node} Node */
/** @typedef {{filename: string, subfolder: string, type: string}} File */
/** @typedef {{name: string, highest: number, means: number[], highests: number[]}} Reference */

/** What Python gave after a run: nodes/influence/shown.py.
 * @typedef {{maps: File, columns: number, pictures: number, height: number, width: number, behind: File | null,
 *   behind_columns: number, behind_count: number, references: Reference[]}} Shown */

const KEY = 'image_prompt_influence_map'
const SIZE = { height: 270, width: 300 }
const INPUTS = ['scale', 'opacity']
const DIGITS = 3
const STYLE = 'font:11px sans-serif;color:#d0d0d8;background:#26262c;border:1px solid #44444c;border-radius:4px;'
/** @type {Record<string, [number, number]>} steps of the reference, and of the picture */
const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }

/** @param {Node} node */
export function addMap(node) {
  const { canvas, redraw } = sharpCanvas(draw)
  canvas.style.cssText += ';position:absolute;inset:0'
  const pane = styled('div', 'position:relative;flex:1;min-height:0;border-radius:6px;overflow:hidden;background:#16161a')
  pane.tabIndex = 0
  pane.dataset.imagePrompt = 'influence_map'
  pane.setAttribute('aria-label', say('influence_map.label'))
  pane.append(canvas)
  const reference = styled('select', `${STYLE}flex:1;min-width:0`)
  reference.title = say('influence_map.reference')
  const picture = styled('select', STYLE)
  const opacity = styled('input', 'flex:1;min-width:50px;max-width:110px')
  Object.assign(opacity, { type: 'range', min: '0', max: '1', step: '0.05', title: say('influence_map.opacity') })
  const controls = styled('div', 'display:flex;gap:4px;align-items:center')
  controls.append(reference, picture, opacity)
  const line = styled('div', 'font:11px sans-serif;line-height:15px;min-height:15px;text-align:center;color:#b8b8c0')
  const root = styled('div', 'display:flex;flex-direction:column;gap:3px;width:100%;height:100%;box-sizing:border-box')
  root.append(pane, controls, line)

  const mapsFile = pictureFiles(look)
  const behindFile = pictureFiles(look)
  const coloured = document.createElement('canvas')
  /** @type {Shown | undefined} */
  let shown
  let known = ''
  let painted = ''

  const view = addView(node, 'influence_view', root, SIZE)
  if (!view.hidden) takePreview(node, () => shown !== undefined)
  follow(node, INPUTS, look)
  lookRegularly(node, look)
  reference.addEventListener('change', look)
  picture.addEventListener('change', look)
  opacity.addEventListener('keydown', oneStep()) // ComfyUI takes no note of keys in fields
  opacity.addEventListener('input', () => write(node, 'opacity', Number(opacity.value)))
  root.addEventListener('keydown', press)
  for (const kind of ['pointerdown', 'pointermove', 'pointerup']) root.addEventListener(kind, (event) => event.stopPropagation())
  look()

  /** Read what there is again, and draw if something has changed. */
  function look() {
    const found = /** @type {Shown | undefined} */ (outputOf(node, KEY))
    if (found?.maps.filename !== shown?.maps.filename) offer(found)
    const loaded = found && [Boolean(mapsFile(found.maps)), found.behind && Boolean(behindFile(found.behind))]
    const chosen = [reference.value, picture.value, ...INPUTS.map((name) => valueOf(node, name))]
    const now = JSON.stringify([found?.maps.filename, loaded, chosen, isLinked(node, 'opacity')])
    if (now === known) return
    known = now
    opacity.value = String(valueOf(node, 'opacity'))
    opacity.disabled = isLinked(node, 'opacity') || !shown?.behind
    line.textContent = words()
    pane.dataset.shows = loaded?.[0] ? `${reference.value} ${picture.value}` : ''
    redraw()
  }

  /** @param {Shown | undefined} found */
  function offer(found) {
    shown = found
    fill(reference, found?.references.map(({ name }) => name) ?? [])
    const pictures = Array.from({ length: found?.pictures ?? 0 }, (_, number) => number + 1)
    fill(picture, pictures.map((number) => say('influence_map.picture', { number })))
    controls.style.display = found?.references.length ? 'flex' : 'none'
    picture.style.display = pictures.length > 1 ? '' : 'none'
  }

  function words() {
    if (!shown) return say('influence_map.before')
    const chosen = shown.references[Number(reference.value)]
    if (!chosen) return say('influence_map.nobody')
    const [mean, highest] = [chosen.means, chosen.highests].map((all) => all[Number(picture.value)].toFixed(DIGITS))
    return say('influence_map.highest', { mean, highest })
  }

  /** @param {CanvasRenderingContext2D} context @param {number} width @param {number} height */
  function draw(context, width, height) {
    const maps = shown && mapsFile(shown.maps)
    if (!shown || !maps) return
    const scale = Math.min(width / shown.width, height / shown.height)
    const [wide, high] = [shown.width * scale, shown.height * scale]
    const place = /** @type {const} */ ([(width - wide) / 2, (height - high) / 2, wide, high])
    const behind = shown.behind && behindFile(shown.behind)
    context.imageSmoothingQuality = 'high'
    context.fillStyle = '#000'
    context.fillRect(...place)
    if (behind) context.drawImage(behind, ...behindPart(shown, behind), ...place)
    paint(shown, maps)
    context.globalAlpha = shown.behind ? Number(valueOf(node, 'opacity')) : 1
    context.drawImage(coloured, ...place)
  }

  /** The part of the sheet of pictures that holds the chosen one.
   * @param {Shown} shown @param {HTMLImageElement} sheet @returns {[number, number, number, number]} */
  function behindPart({ behind_columns: columns, behind_count: count }, sheet) {
    const number = Math.min(Number(picture.value), count - 1)
    const wide = sheet.naturalWidth / columns
    const high = sheet.naturalHeight / Math.ceil(count / columns)
    return [(number % columns) * wide, Math.floor(number / columns) * high, wide, high]
  }

  /** Colour the chosen map.
   * @param {Shown} shown @param {HTMLImageElement} maps */
  function paint({ columns, pictures, width, height, references, behind, maps: { filename } }, maps) {
    const scale = String(valueOf(node, 'scale'))
    const now = JSON.stringify([filename, reference.value, picture.value, scale])
    if (now === painted) return
    painted = now
    coloured.width = width
    coloured.height = height
    const context = /** @type {CanvasRenderingContext2D} */ (coloured.getContext('2d', { willReadFrequently: true }))
    const number = Number(reference.value) * pictures + Number(picture.value)
    context.drawImage(maps, -(number % columns) * width, -Math.floor(number / columns) * height)
    const drawn = context.getImageData(0, 0, width, height)
    const highest = references[Number(reference.value)]?.highest ?? 0
    const most = Math.max(0, ...references.map((each) => each.highest))
    colourPixels(drawn.data, factorOf(scale, highest, most), Boolean(behind))
    context.putImageData(drawn, 0, 0)
  }

  /** @param {KeyboardEvent} event */
  function press(event) {
    const arrow = ARROWS[event.key]
    if (!arrow || event.ctrlKey || event.metaKey) return
    event.stopPropagation()
    if (event.target !== pane) return // lists and the slider have keys of their own
    event.preventDefault()
    for (const [number, list] of [reference, picture].entries())
      list.selectedIndex = Math.min(Math.max(list.selectedIndex + arrow[number], 0), list.length - 1)
    look()
  }
}

/** Let core draw the pictures of a run only where there is no view of them.
 * @param {Node} node @param {() => boolean} isShown */
function takePreview(node, isShown) {
  const drawn = /** @type {Node & {hideOutputImages?: boolean}} */ (node)
  const before = node.onDrawBackground
  drawn.hideOutputImages = true // in Nodes 2.0
  drawn.onDrawBackground = function (...given) {
    if (!isShown()) return before?.apply(this, given)
  }
}

/** Offer choices, and keep the place of the chosen one.
 * @param {HTMLSelectElement} list @param {readonly string[]} names */
function fill(list, names) {
  const chosen = Math.max(0, Math.min(list.selectedIndex, names.length - 1))
  list.replaceChildren(
    ...names.map((name, number) => Object.assign(document.createElement('option'), { value: String(number), textContent: name }))
  )
  list.selectedIndex = names.length ? chosen : -1
}
