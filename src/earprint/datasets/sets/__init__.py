"""The sets that `earprint data` knows, by name. To add one, add a module here and a line below."""

from earprint.datasets.recipe import Recipe
from earprint.datasets.sets import air, etsi, fma, mit_ir, musan, nafp, openslr28

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        fma.RECIPE, openslr28.RECIPE, etsi.RECIPE, air.RECIPE, musan.RECIPE, mit_ir.RECIPE, nafp.RECIPE,
    )
}  # fmt: skip
"""All of them, those of the paper first."""
