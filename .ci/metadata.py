"""Check the metadata of a wheel as an index would: every field valid, the readme there, the licence an expression."""

import sys
import zipfile

from packaging.metadata import Metadata

with zipfile.ZipFile(sys.argv[1]) as wheel:
    name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    found = Metadata.from_email(wheel.read(name), validate=True)
assert found.description and found.description_content_type == "text/markdown", "no readme"
assert found.license_expression == "Apache-2.0" and found.license_files, "no licence"
assert f"safebasin-{found.version}-" in sys.argv[1], "another version"
print(f"metadata of {found.name} {found.version} are valid")
