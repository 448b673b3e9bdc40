// Makes nodes. Text is text: there is no way here to make markup of a string.

const SVG = "http://www.w3.org/2000/svg";

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
  node.append(...children);
  return node;
}

export const element = (name, attributes = {}, children = []) =>
  filled(document.createElement(name), attributes, children);

export const svg = (name, attributes = {}, children = []) =>
  filled(document.createElementNS(SVG, name), attributes, children);
