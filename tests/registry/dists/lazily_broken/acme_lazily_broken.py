"""Broken only where it is looked at."""

import metricreg

number = 3


@metricreg.hookimpl
def metricreg_reducers():
    return {
        "fine": "metricreg.reducers.mean:MeanReducer",
        "no_module": "acme_nowhere:Half",
        "no_class": "acme_lazily_broken:Half",
        "no_type": "acme_lazily_broken:number",
        "no_component": "collections:OrderedDict",
        "wrong_kind": "metricreg.distances.lp:LpDistance",
        "exits": "acme_lazily_exits:Half",
    }
