// The texture of an achievement; the same table as the template filter `icon`.

const ICONS = {
  collect_coal: "coal", collect_diamond: "diamond", collect_drink: "water", collect_iron: "iron",
  collect_sapling: "sapling", collect_stone: "stone", collect_wood: "wood",
  defeat_skeleton: "skeleton", defeat_zombie: "zombie", eat_cow: "cow", eat_plant: "plant-ripe",
  make_iron_pickaxe: "iron_pickaxe", make_iron_sword: "iron_sword",
  make_stone_pickaxe: "stone_pickaxe", make_stone_sword: "stone_sword",
  make_wood_pickaxe: "wood_pickaxe", make_wood_sword: "wood_sword", place_furnace: "furnace",
  place_plant: "plant", place_stone: "path", place_table: "table", wake_up: "player-sleep",
};

/** @param {string} name */
export function iconOf(name) {
  const node = document.createElement("i");
  node.className = `tex t-${ICONS[name] ?? "unknown"}`;
  node.title = name.replaceAll("_", " ");
  return node;
}

/** The class of an achievement's texture. @param {string} name */
export function iconClass(name) {
  return `t-${ICONS[name] ?? "unknown"}`;
}
