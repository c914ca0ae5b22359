"""HTML pages that are files: one visual language, and values that can never become markup."""

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined


def page_environment(package: str) -> Environment:
    """Renders the templates in the folder of ``package``.

    They can include ``style.css``, the colours, type and tables of all pages. Values are escaped unless a
    template marks them as safe, and a name without a value is an error.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package, ""), PackageLoader("core.pages", "")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["grouped"] = lambda value: f"{value:,}"
    return environment
