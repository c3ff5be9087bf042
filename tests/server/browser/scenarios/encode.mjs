// A person sees on Encode Image Prompt what the encoder will see, and places the square by hand.
import { cropBox, readBox } from '../../../../js/encode/crop_box.mjs'
import { placed, slots } from '../../../../js/encode/editing.mjs'
import { add, clear, copied, drag, focus, reopened, run, set, values } from '../../../../devtools/page.mjs'

const LOOK_MS = 5000
const VIEW = '[data-image-prompt=encode]'

let page, task, id // of the visit, and of the node

export async function play(visit) {
  ;({ page, task } = visit)
  const { shot } = visit
  await clear(page)
  const ids = await add(page, {
    picture: { type: 'LoadImage', pos: [-400, 0], inputs: { image: task.picture } },
    encoder: { type: 'ImagePromptLoadEncoder', pos: [-400, 450], inputs: { encoder_name: task.encoder } },
    encode: { type: 'ImagePromptEncode', inputs: { image: ['picture', 0], clip_vision: ['encoder', 0] } },
    shown: { type: 'PreviewImage', pos: [500, 0], inputs: { images: ['encode', 1] } },
    number: { type: 'PrimitiveInt', pos: [-400, 650], inputs: { value: 3 } }
  })
  id = ids.encode
  await focus(page, id)
  await until(() => said().then((words) => words.includes(String(task.width))))
  const seen = { crops: {}, id }

  for (const crop of task.crops) {
    await change('crop', crop)
    seen.crops[crop] = await said()
    if (['center', 'pad', 'tiles', 'mask'].includes(crop)) await shot(crop)
  }

  seen.wired = await wired(ids.number)
  await change('crop', 'center')
  await page.mouse.click(10, 500) // what was done so far is a step of its own
  seen.moved = await pull('center', [256, 300], [306, 250])
  await shot('moved')
  await page.keyboard.press('Control+z')
  await until(async () => (await box())[0] !== 'box')
  seen.undone = await box()
  await page.waitForTimeout(300) // until the new node has its elements

  await change('crop', 'top')
  await page.locator(VIEW).focus()
  for (const key of ['ArrowDown', 'ArrowDown', 'ArrowRight', '-']) await page.keyboard.press(key)
  seen.pressed = await box()

  await change('box', '0, 0, 0.5')
  seen.resized = await pull(readBox('0, 0, 0.5'), [256, 256], [200, 356])

  await change('box', 'wide')
  seen.bad = [await said(), ...(await box())]
  await shot('bad')
  seen.refused = await queue()

  await change('box', task.box)
  seen.ended = await run(page)
  await page.locator(`${VIEW}[data-shows=seen]`).waitFor()
  seen.after = await page.evaluate((id) => window.app.nodeOutputs[id].image_prompt_encode[0], id)
  await shot('run')

  await change('background', 'white')
  seen.changed = await page.locator(VIEW).getAttribute('data-shows')
  await change('background', 'black')
  seen.back = await page.locator(VIEW).getAttribute('data-shows')
  seen.copied = await copied(page, id)
  seen.saved = await reopened(page, id)
  seen.loaded = await values(page, id)
  return seen
}

// --------------------------------------------------------------------------------------------------------------- steps

// Drag from one place in the picture to another, [x, y] in its pixels, and what the inputs hold then.
async function pull(crop, from, to) {
  const size = { height: task.height, width: task.width }
  const canvas = page.locator(`${VIEW} canvas`)
  const { width, height } = await canvas.boundingBox()
  const at = placed(slots(width, height).whole, size, [cropBox(size.height, size.width, crop)])
  const part = ([x, y]) => [(at.x + x * at.scale) / width, (at.y + y * at.scale) / height]
  await drag(page, canvas, part(from), part(to))
  return [at.scale, ...(await box())]
}

async function change(name, value) {
  await set(page, id, name, value)
  await page.waitForTimeout(60) // until it is drawn
}

// What is said of a crop that reads the number of tiles, and of one that does not, while that comes by a wire.
async function wired(number) {
  const turn = (on) =>
    page.evaluate(
      ([id, number, on]) => {
        const node = window.app.graph.getNodeById(id)
        const place = node.findInputSlot('tiles')
        if (on) window.app.graph.getNodeById(number).connect(0, node, place)
        else node.disconnectInput(place)
      },
      [id, number, on]
    )
  const found = {}
  await turn(true)
  for (const crop of ['tiles', 'pad']) {
    await change('crop', crop)
    found[crop] = await said()
  }
  await turn(false)
  return found
}

async function box() {
  const found = await values(page, id)
  return [found.crop, found.box]
}

// What stands below the picture.
function said() {
  return page.locator(`${VIEW} + div`).first().innerText()
}

// What the server answers to the graph.
function queue() {
  return page.evaluate(async () => {
    const { output } = await window.app.graphToPrompt()
    const sent = { method: 'POST', body: JSON.stringify({ prompt: output }) }
    return (await window.comfyAPI.api.api.fetchApi('/prompt', sent)).json()
  })
}

async function until(holds) {
  const end = Date.now() + LOOK_MS
  while (!(await holds())) {
    if (Date.now() > end) throw new Error('It did not come to be in time.')
    await page.waitForTimeout(100)
  }
}
