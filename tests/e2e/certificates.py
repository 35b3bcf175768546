"""Certificates for tests, made by openssl in a folder."""
import os

from libraries import quietly

EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")


class Certificates:
    def __init__(self, folder):
        self.folder = folder

    def path(self, name):
        return os.path.join(self.folder, name)

    def make(self, name, subject, issuer="ca", key=EC, days="2", extensions=()):
        """name.pem and name.key; signed by issuer.pem, or by itself (issuer None)."""
        path = self.path
        extras = [word for one in extensions for word in ("-addext", one)]
        if issuer is None:
            return quietly("openssl", "req", "-x509", *key, "-nodes", "-days", days, "-subj", subject, "-keyout", path(f"{name}.key"), "-out",
                           path(f"{name}.pem"), *extras)
        if not any(one.startswith("basicConstraints") for one in extensions):
            extras += ["-addext", "basicConstraints=CA:FALSE"]
        quietly("openssl", "req", *key, "-nodes", "-subj", subject, *extras, "-keyout", path(f"{name}.key"), "-out", path(f"{name}.csr"))
        quietly("openssl", "x509", "-req", "-in", path(f"{name}.csr"), "-CA", path(f"{issuer}.pem"), "-CAkey", path(f"{issuer}.key"), "-days", days,
                "-copy_extensions", "copy", "-out", path(f"{name}.pem"))
