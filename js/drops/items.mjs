// @ts-check
// What is dropped: files, or a picture that the server has, from a gallery or from another part of the page.

export const ASSET = 'application/x-comfy-asset-info' // what ComfyUI's galleries say of a picture that is dragged
export const LINK = 'text/uri-list'

/** @typedef {{filename: string, subfolder?: string, type?: string}} Stored a file in a folder of the server */

/** Whether pictures may be among what is dragged; before the drop only the kinds are known.
 * @param {DataTransfer} dragged */
export function mayHavePictures(dragged) {
  const files = [...dragged.items].filter((item) => item.kind === 'file')
  if (files.length) return files.some((item) => isPicture(item.type))
  return dragged.types.includes(ASSET) || dragged.types.includes(LINK)
}

/** @param {string} type of a file; browsers on some systems do not know it while it is dragged */
export function isPicture(type) {
  return type === '' || type.startsWith('image/')
}

/** The file of the server that is dragged from a gallery, or whose picture is.
 * @param {string} asset what a gallery says, JSON @param {string} link @param {string} page the address of this page
 * @returns {Stored | undefined} */
export function stored(asset, link, page) {
  try {
    const said = JSON.parse(asset)
    if (typeof said.filename === 'string' && said.filename) return said
  } catch {} // none is said
  return ofLink(link, page)
}

/** @param {string} link @param {string} page @returns {Stored | undefined} */
function ofLink(link, page) {
  const [first] = link.split('\n')
  if (!first || !URL.canParse(first, page)) return undefined
  const { origin, pathname, searchParams } = new URL(first, page)
  const filename = searchParams.get('filename')
  if (origin !== new URL(page).origin || !pathname.endsWith('/view') || !filename) return undefined
  return { filename, subfolder: searchParams.get('subfolder') ?? '', type: searchParams.get('type') ?? 'output' }
}

/** A file of the server as Load Image names it: 'folder/name.png [output]'.
 * @param {Stored} file */
export function named({ filename, subfolder, type }) {
  const path = subfolder ? `${subfolder}/${filename}` : filename
  return type && type !== 'input' ? `${path} [${type}]` : path
}
