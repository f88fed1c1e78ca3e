"""Aliases on the training_models surface: /v2/training/aliases."""

from functions.api.app import Surface, needs
from luthier import clock, wiring
from luthier.aliases import schema

ALIASES = "/v2/training/aliases"
ALIAS = f"{ALIASES}/<name>"
READ, WRITE = needs("models:read"), needs("models:write")


def add_routes(app: Surface) -> None:
    @app.get(ALIASES, security=READ, summary="List aliases")
    def list_aliases() -> schema.AliasList:
        return schema.AliasList.of(wiring.aliases().of_organization(app.principal), clock.now())

    @app.get(ALIAS, security=READ, summary="Get an alias, and how its last move does")
    def get_alias(name: str) -> schema.AliasObject:
        return schema.AliasObject.of(wiring.aliases().get(app.principal, name), clock.now())

    @app.put(ALIAS, security=WRITE, summary="Make an alias, or move its traffic")
    def put_alias(name: str, body: schema.PutAlias) -> schema.AliasObject:
        return schema.AliasObject.of(wiring.aliases().put(app.principal, name, **body.wishes()), clock.now())

    @app.delete(ALIAS, security=WRITE, summary="Delete an alias; its deployments stay")
    def delete_alias(name: str) -> schema.AliasDeleted:
        return schema.AliasDeleted(name=wiring.aliases().delete(app.principal, name).name)
