// Modules that ComfyUI serves, and names that its page defines.
declare module '*/scripts/app.js' {
  export const app: import('@comfyorg/comfyui-frontend-types').ComfyApp
}
declare module '*/scripts/api.js' {
  export const api: import('@comfyorg/comfyui-frontend-types').ComfyApi
}
declare const LGraphBadge: new (options: { text: string; fgColor?: string; bgColor?: string }) => object
interface Window {
  LiteGraph?: any
}
