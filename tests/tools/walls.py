"""A wall for import-linter that needs no list: the packages in a package import nothing of one another."""

from __future__ import annotations

from grimp import ImportGraph
from importlinter.contracts.independence import IndependenceContract
from importlinter.domain import fields
from importlinter.domain.contract import ContractCheck
from importlinter.domain.imports import ModuleExpression


class PackagesApart(IndependenceContract):
    """Independence of all packages that stand directly in ``container``; loose modules beside them are left out."""

    type_name = "packages_apart"

    container = fields.StringField()
    modules = fields.SetField(subfield=fields.ModuleExpressionField(), required=False)

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Find the packages, then check them as import-linter checks a list of modules."""
        packages = {child for child in graph.find_children(str(self.container)) if graph.find_children(child)}
        self.modules = {ModuleExpression(name) for name in packages}
        return super().check(graph, verbose)
