"""Draw the modules of the package and the imports between them: python docs/make_structure.py

Reads the imports of every file with `ast`, so that nothing of the package is imported, and writes
docs/_static/structure.png. A module is a file or a package directly below src/stimpute. An arrow goes from a module
to a module that it imports. Arrows that follow from other arrows are left out. The script fails if imports form a
circle.
"""

import ast
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")
import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path as Curve

HERE = Path(__file__).parent
PACKAGE = HERE.parent / "src" / "stimpute"
FIGURE = HERE / "_static" / "structure.png"
MODULE_OF_NAME = {"StImputeModel": "model"}  # names that stimpute/__init__.py takes from a module
USERS_CALL = {"model", "pp", "tl", "pl", "datasets", "share", "report", "explorer", "cli", "recipes"}
WIDTH, HEIGHT, GAP_X, GAP_Y = 1.5, 0.5, 1.8, 1.15  # of a box, and between centers
SWEEPS = 40  # over the layers: the first half orders them, the second half straightens arrows
SCALE = 0.62  # inches per unit of the drawing


def modules() -> list[str]:
    """List the modules and packages directly below the package."""
    names = {path.stem for path in PACKAGE.glob("*.py")} | {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    return sorted(names - {"__init__"})


def imported_names(tree: ast.AST) -> list[str]:
    """List the dotted names below `stimpute` that a file imports, without imports for type checkers."""
    names = []
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
            continue
        waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module == "stimpute":
            names += [f"stimpute.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.append(node.module)
    return [name.removeprefix("stimpute.") for name in names if name.startswith("stimpute.")]


def read_imports(names: list[str]) -> dict[str, set[str]]:
    """Map each module to the other modules that its files import."""
    imports = {name: set() for name in names}
    for path in sorted(PACKAGE.rglob("*.py")):
        module = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if module not in imports:
            continue
        for name in imported_names(ast.parse(path.read_text())):
            first = name.split(".")[0]
            other = MODULE_OF_NAME.get(first, first)
            if other in imports and other != module:
                imports[module].add(other)
    return imports


def layers(imports: dict[str, set[str]]) -> dict[str, int]:
    """Give each module a layer above all modules that it imports.

    Raises
    ------
    ValueError
        If imports form a circle.
    """
    layer = {}
    while len(layer) < len(imports):
        ready = [name for name in imports if name not in layer and imports[name] <= set(layer)]
        if not ready:
            raise ValueError(f"Imports form a circle among {sorted(set(imports) - set(layer))}.")
        for name in ready:
            layer[name] = 1 + max((layer[other] for other in imports[name]), default=-1)
    return layer


def without_implied(imports: dict[str, set[str]], layer: dict[str, int]) -> dict[str, set[str]]:
    """Drop arrows that follow from a chain of other arrows."""
    reached = {}
    for name in sorted(imports, key=layer.get):
        reached[name] = set(imports[name]).union(*(reached[other] for other in imports[name]))
    return {
        name: {other for other in others if not any(other in reached[via] for via in others)}
        for name, others in imports.items()
    }


def positions(arrows: dict[str, set[str]], layer: dict[str, int]) -> tuple[dict, dict]:
    """Place modules, and the points where long arrows pass a layer, so that few arrows cross and most are straight."""
    rows = [sorted(name for name in layer if layer[name] == number) for number in range(max(layer.values()) + 1)]
    chains, links = {}, []
    for start in sorted(arrows):
        for end in sorted(arrows[start]):
            passed = [(start, end, number) for number in range(layer[start] - 1, layer[end], -1)]
            for point in passed:
                rows[point[2]].append(point)
            chain = [start, *passed, end]
            chains[start, end] = chain
            links += zip(chain[:-1], chain[1:], strict=True)
    x = {item: place - (len(row) - 1) / 2 for row in rows for place, item in enumerate(row)}
    for sweep in range(SWEEPS):
        upward = sweep % 2 == 0
        for row in rows if upward else rows[::-1]:
            near = {item: [] for item in row}
            for upper, lower in links:
                if upper in near and (upward or sweep >= SWEEPS // 2):
                    near[upper].append(x[lower])
                if lower in near and (not upward or sweep >= SWEEPS // 2):
                    near[lower].append(x[upper])
            wish = {item: sum(found) / len(found) if found else x[item] for item, found in near.items()}
            if sweep < SWEEPS // 2:  # afterwards the order stays, and only distances change
                row.sort(key=lambda item: (wish[item], str(item)))
            x |= spaced(row, wish)
    height = {item: number for number, row in enumerate(rows) for item in row}
    return {item: (x[item] * GAP_X, height[item] * GAP_Y) for item in x}, chains


def spaced(row: list, wish: dict) -> dict:
    """Place the items of a row near where they wish to be, in their order, at least one apart."""
    from_left, from_right = {}, {}
    for items, found, side in ((row, from_left, 1), (row[::-1], from_right, -1)):
        last = None
        for item in items:
            here = side * wish[item]
            found[item] = here if last is None else max(here, last + 1)
            last = found[item]
    return {item: (from_left[item] - from_right[item]) / 2 for item in row}


def draw(place: dict, chains: dict, names: list[str]) -> None:
    """Draw boxes and arrows, and save the figure."""
    xs = [place[name][0] for name in place]
    ys = [place[name][1] for name in place]
    size = (max(xs) - min(xs) + 2 * WIDTH, max(ys) - min(ys) + 2 * HEIGHT)
    figure, ax = plt.subplots(figsize=(SCALE * size[0], SCALE * size[1]), layout="constrained")
    for chain in chains.values():
        points = [place[item] for item in chain]
        points[0] = (points[0][0], points[0][1] - HEIGHT / 2)
        points[-1] = (points[-1][0], points[-1][1] + HEIGHT / 2 + 0.03)
        vertices, codes = [points[0]], [Curve.MOVETO]
        for (x0, y0), (x1, y1) in zip(points[:-1], points[1:], strict=True):
            middle = (y0 + y1) / 2
            vertices += [(x0, middle), (x1, middle), (x1, y1)]
            codes += [Curve.CURVE4] * 3
        curve = Curve(vertices, codes)
        ax.add_patch(FancyArrowPatch(path=curve, arrowstyle="-|>", mutation_scale=11, color="0.55", linewidth=1.1))
    for name in names:
        x, y = place[name]
        corner = (x - WIDTH / 2, y - HEIGHT / 2)
        fill = "#D6E6F2" if name in USERS_CALL else "white"
        box = FancyBboxPatch(corner, WIDTH, HEIGHT, boxstyle="round,pad=0.02", facecolor=fill, edgecolor="#0072B2")
        ax.add_patch(box)
        ax.text(x, y, name, ha="center", va="center", family="monospace", fontsize=10)
    ax.set(xlim=(min(xs) - WIDTH, max(xs) + WIDTH), ylim=(min(ys) - HEIGHT, max(ys) + HEIGHT), aspect="equal")
    ax.set_axis_off()
    figure.savefig(FIGURE, dpi=200, metadata={"Software": None})


def main() -> int:
    """Write the figure and print the imports."""
    names = modules()
    imports = read_imports(names)
    layer = layers(imports)
    draw(*positions(without_implied(imports, layer), layer), names)
    for name in sorted(names, key=lambda name: (layer[name], name)):
        print(f"{layer[name]} {name}: {', '.join(sorted(imports[name])) or '-'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
