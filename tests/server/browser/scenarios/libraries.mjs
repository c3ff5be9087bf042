// The references panel shows a library: its newest pictures, those like one, those that fit a text, and as nodes.
import { clear, values } from '../../../../devtools/page.mjs'

const TAB = 'Saved references of image prompts'

export async function play({ page, task, shot }) {
  await clear(page)
  const tab = page.getByRole('button', { name: TAB, exact: true })
  await tab.click()
  const panel = page.locator('[data-panel="image-prompt-references"]')
  const chooser = panel.getByRole('combobox')
  const cards = panel.locator('.ipp-reference')
  const cardOf = (path) => panel.locator(`.ipp-reference[data-path="${path}"]`)
  const [first, second] = task.paths
  await chooser.waitFor()
  const seen = { offered: await chooser.locator('option').allInnerTexts() }

  await chooser.selectOption(task.library)
  await cardOf(first).waitFor()
  seen.newest = await paths(cards)
  seen.note = await panel.locator('.ipp-note').innerText()
  await cardOf(first).locator('img').evaluate((img) => img.decode())
  seen.thumbnail = await cardOf(first).locator('img').evaluate((img) => [img.naturalWidth, img.naturalHeight])
  seen.icons = await panel.locator('.pi-trash').count()

  await cardOf(first).click()
  await panel.getByRole('button', { name: 'Back' }).waitFor()
  seen.like = await paths(cards)
  seen.scores = await cards.locator('.ipp-about').allInnerTexts()
  seen.focused = await page.evaluate(() => document.activeElement.dataset.path)
  await page.keyboard.press('ArrowRight')
  await page.keyboard.press('Enter')
  await panel.locator('.ipp-reference').first().and(cardOf(second)).waitFor()
  seen.likeSecond = await paths(cards)
  await panel.getByRole('button', { name: 'Back' }).click()
  await panel.getByRole('button', { name: 'Back' }).waitFor({ state: 'detached' })

  const search = panel.getByRole('searchbox')
  await search.fill('a red bicycle')
  await panel.locator('.ipp-empty').waitFor()
  seen.refused = await panel.locator('.ipp-empty').innerText()
  const asked = []
  const answer = { library: task.library, found: [{ ...task.found, path: second }] }
  await page.route('**/libraries/search?*', (route) => {
    asked.push(Object.fromEntries(new URL(route.request().url()).searchParams))
    return route.fulfill({ json: answer })
  })
  await search.fill('a blue bicycle')
  await cardOf(second).waitFor()
  seen.asked = asked
  seen.byText = await cards.locator('.ipp-about').allInnerTexts()
  await page.unroute('**/libraries/search?*')
  await search.press('Escape')
  await cardOf(first).waitFor()

  await cardOf(first).hover()
  await cardOf(first).getByRole('button', { name: 'Nearest References' }).click()
  await nodes(page, 1)
  await cardOf(first).getByRole('button', { name: 'Load Image' }).click()
  await nodes(page, 2)
  await cardOf(second).dragTo(page.locator('#graph-canvas'), { targetPosition: { x: 500, y: 250 } })
  await nodes(page, 3)
  seen.inserted = await inserted(page)
  await shot('inserted')
  await page.waitForTimeout(300) // the step ends a few frames later
  await page.keyboard.press('Control+z')
  await nodes(page, 2)

  await chooser.selectOption('')
  await cardOf(first).waitFor({ state: 'detached' })
  seen.features = await panel.locator('.ipp-search[type="search"]').getAttribute('placeholder')
  await tab.click()
  await clear(page)
  return seen
}

function paths(cards) {
  return cards.evaluateAll((all) => all.map(({ dataset }) => dataset.path))
}

async function nodes(page, count) {
  await page.waitForFunction((count) => window.app.graph.nodes.length === count, count)
}

async function inserted(page) {
  const found = await page.evaluate(() => window.app.graph.nodes.map(({ id, type }) => ({ id, type })))
  return Promise.all(
    found.map(async ({ id, type }) => {
      const { library, picture, k, image } = await values(page, id)
      return type === 'LoadImage' ? { type, image } : { type, library, picture, k }
    })
  )
}
