"""Steps around `datasafed`: putting it into a pod, and deleting what a backup stored."""

import os
import shutil
from pathlib import Path

import msgspec

from holdfast.core.calls import DatasafedDelete, DatasafedInstall, RecordDelete
from holdfast.core.report import Report
from holdfast.movers.context import Context, MoverError, log
from holdfast.movers.datasafed.codecs import SUFFIX
from holdfast.movers.datasafed.faults import DatasafedError, NotThere
from holdfast.movers.datasafed.paths import clean
from holdfast.movers.datasafed.sealed import open_place
from holdfast.movers.datasafed.settings import read_settings

PROGRAM = "datasafed"
CLIENT = Path(__file__).with_name("datasafed-client")


def install(call: DatasafedInstall, _: Context) -> Report:
    """Copy the program. Raises MoverError when this build has none."""
    target = Path(call.folder) / PROGRAM
    try:
        draft = target.with_name(f".{PROGRAM}.new")
        shutil.copyfile(CLIENT, draft)
        draft.chmod(0o755)
        draft.replace(target)
    except FileNotFoundError as error:
        hint = "build it with a C compiler: python scripts/build_native.py"
        raise MoverError("NoDatasafed", f"the program datasafed is not part of this build: {error}", hint) from error
    return Report(call.MOVER)


def delete(call: DatasafedDelete, _: Context) -> Report:
    """Delete a backup's folder. Raises MoverError for a path that is not one's own."""
    try:
        path = _own(call.path, call.name)
        settings = read_settings(os.environ)
        open_place(settings).delete_tree(path)
        place = open_place(msgspec.structs.replace(settings, kopia_root=""))
        place.delete_tree(path)
        log(f"deleted {path}")
        while (path := path.rpartition("/")[0]) and next(iter(place.list(path)), None) is None:
            place.remove_folder(path)
    except NotThere:
        pass
    except DatasafedError as error:
        raise MoverError("DeleteFailed", str(error), "check that the repository can be reached and written") from error
    return Report(call.MOVER)


def forget(call: RecordDelete, context: Context) -> Report:
    """Delete the records of a backup that has failed. Raises MoverError for a path that is not one's own."""
    try:
        path = _own(call.path, call.name)
        place = open_place(msgspec.structs.replace(read_settings(os.environ), kopia_root=""))
        for item in list(place.list(path, recursive=True)):
            context.check()
            if not item.is_folder and item.name in (call.file, f"{call.file}{SUFFIX}"):
                place.delete(item.path)
                log(f"deleted {item.path}")
    except NotThere:
        pass
    except DatasafedError as error:
        raise MoverError("DeleteFailed", str(error), "check that the repository can be reached and written") from error
    return Report(call.MOVER)


def _own(path: str, name: str) -> str:
    """Return the path of a backup's folder. Raises MoverError for one that is not its own."""
    found = clean(path)
    if not name or name not in found.split("/"):
        raise MoverError("RefusedToDelete", f"{path} is not the folder of backup {name}: nothing is deleted")
    return found
