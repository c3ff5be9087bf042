// Image Prompt Regions: drawn, moved, reshaped, undone, typed, sent, copied and loaded.
import { add, clear, copied, focus, run, set, values } from '../../../../devtools/page.mjs'

const RATIO = 768 / 512
const BORDER = 9

let page

export async function play(visit) {
  ;({ page } = visit)
  await clear(page)
  const ids = await add(page, {
    encoder: { type: 'ImagePromptLoadEncoder', pos: [-900, 0], inputs: { encoder_name: 'demo-encoder.safetensors' } },
    first: { type: 'LoadImage', pos: [-900, 300], inputs: { image: 'grace_hopper.jpg' } },
    second: { type: 'LoadImage', pos: [-900, 700], inputs: { image: 'astronaut.jpg' } },
    one: { type: 'ImagePromptEncode', pos: [-500, 0], inputs: { clip_vision: ['encoder', 0], image: ['first', 0] } },
    two: { type: 'ImagePromptEncode', pos: [-500, 500], inputs: { clip_vision: ['encoder', 0], image: ['second', 0] } },
    left: { type: 'ImagePromptReference', pos: [-200, 0], inputs: { features: ['one', 0], name: 'hopper' } },
    right: { type: 'ImagePromptReference', pos: [-200, 700], inputs: { features: ['two', 0] } },
    latent: { type: 'EmptyLatentImage', pos: [-500, 1000], inputs: { width: 768, height: 512 } },
    regions: { type: 'ImagePromptRegions', pos: [200, 0], inputs: { latent: ['latent', 0] } },
    masks: { type: 'MaskPreview', pos: [800, 0], inputs: { mask: ['regions', 1] } }
  })
  await page.evaluate((ids) => {
    const node = (name) => window.app.graph.getNodeById(ids[name])
    for (const [socket, name] of ['left', 'right'].entries())
      node(name).connect(0, node('regions'), node('regions').findInputSlot(`references.reference_${socket}`))
  }, ids)
  await focus(page, ids.regions)
  const view = () => page.locator('[data-image-prompt=regions]')
  await page.waitForFunction(() => document.querySelectorAll('[data-image-prompt=regions] img').length === 2)
  const legend = await view().locator('[data-reference]').allInnerTexts()
  await visit.shot('empty')
  await saved()

  const said = {}
  const note = async (what) => (said[what] = (await values(page, ids.regions)).regions)
  await drag([0.1, 0.1], [0.4, 0.9])
  await note('drawn')
  await triangle(() => page.keyboard.press('Enter'))
  await note('polygon')
  await visit.shot('drawn')
  await undone(said.drawn)
  await triangle(() => click([0.3, 0.1]))
  await note('closed by its first point')
  await click([0.2, 0.5])
  await drag([0.4, 0.9], [0.5, 0.7])
  await note('resized')
  await drag([0.3, 0.3], [0.35, 0.5])
  await note('moved')
  await page.keyboard.press('ArrowRight')
  await page.keyboard.press('Shift+ArrowUp')
  await note('pushed')
  await view().getByRole('button').nth(3).click()
  await drag([0.2, 0.3], [0.3, 0.4])
  await note('hole')
  await drag([0.86, 0.3], [0.86, 0.4]) // over the shape of another reference
  await note('over')
  await page.keyboard.press('Delete')
  await note('deleted')
  await undone(said.over)

  const still = await page.evaluate((id) => Boolean(window.app.graph.getNodeById(id)), ids.regions)
  await set(page, ids.regions, 'feather', 0.1)
  await page.waitForTimeout(300)
  await visit.shot('soft')
  const ended = await run(page)
  const sent = await received(visit.task.url, ended.prompt_id, ids.regions)

  await page.evaluate(() => window.app.loadGraphData(JSON.parse(JSON.stringify(window.app.graph.serialize()))))
  await note('loaded')
  const { regions: copy } = await copied(page, ids.regions)

  await focus(page, ids.regions)
  await type('# by hand\n1: rect 0 0, 0.5 1\n2: rect 0 0, 512 512')
  await page.waitForFunction(() => document.querySelector('[data-image-prompt=regions] [role=alert]')?.textContent)
  const wrong = { shown: await view().getByRole('alert').innerText(), text: (await values(page, ids.regions)).regions }
  await visit.shot('wrong')
  await click([0.25, 0.8])
  await page.keyboard.press('ArrowRight')
  await note('beside what is wrong')
  return { legend, said, still, ended: ended.kind, sent, copy, wrong }

  // Draw a polygon for the second reference.
  async function triangle(close) {
    await view().locator('[data-reference="2"]').click()
    await view().getByRole('button').nth(2).click()
    for (const place of [[0.3, 0.1], [0.9, 0.1], [0.9, 0.8]]) await click(place)
    await close()
  }

  // Take one step back, to what the text was. ComfyUI then makes every node anew.
  async function undone(text) {
    await page.waitForTimeout(100) // until ComfyUI has taken the edit
    await page.keyboard.press('Control+z')
    await page.waitForFunction(
      ([id, text]) => window.app.graph.getNodeById(id)?.widgets[0].value === text,
      [ids.regions, text],
      { timeout: 5000 }
    )
    await page.waitForFunction(() => document.querySelectorAll('[data-image-prompt=regions] img').length === 2)
    await page.waitForTimeout(200)
    said.shown ??= []
    said.shown.push(
      await page.evaluate((id) => window.app.graph.getNodeById(id).widgets.at(-1).element.isConnected, ids.regions)
    )
  }

  async function type(text) {
    const boxes = page.locator('textarea')
    for (let index = 0; index < (await boxes.count()); index++)
      if ((await boxes.nth(index).inputValue()) === said.over) return boxes.nth(index).fill(text)
    throw new Error('no box of text says the regions')
  }
}

// The place on the screen of a place in the picture, [x, y] each from 0 to 1.
async function at([x, y]) {
  const canvas = page.locator('[data-image-prompt=regions] canvas')
  const box = await canvas.boundingBox()
  const [wide, high] = await canvas.evaluate((element) => [element.clientWidth, element.clientHeight])
  const width = Math.min(wide - 2 * BORDER, (high - 2 * BORDER) * RATIO)
  const place = [(wide - width) / 2 + x * width, (high - width / RATIO) / 2 + (y * width) / RATIO]
  return [box.x + (place[0] * box.width) / wide, box.y + (place[1] * box.height) / high]
}

async function click(place) {
  await page.mouse.click(...(await at(place)))
  await page.waitForTimeout(50)
}

async function drag(from, to) {
  await page.mouse.move(...(await at(from)))
  await page.mouse.down()
  await page.mouse.move(...(await at(to)), { steps: 6 })
  await page.mouse.up()
  await page.waitForTimeout(50)
}

// Let ComfyUI take the graph as it is for the state to which undo returns.
async function saved() {
  await page.evaluate(() => {
    const { changeTracker } = window.app.extensionManager.workflow.activeWorkflow
    changeTracker.captureCanvasState?.() ?? changeTracker.checkState?.()
  })
}

async function received(url, prompt, id) {
  const history = await (await fetch(`${url}/history/${prompt}`)).json()
  return history[prompt].prompt[2][id].inputs
}
