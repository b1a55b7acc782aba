"""Sends a file with tuspy: tus_client.py URL FILE PATH FOLDER. It remembers in FOLDER what it sends, so the same command goes on where it
stopped. Prints how much the server had when it went on, and the address of the upload."""

import sys

from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError, TusUploadFailed
from tusclient.storage.filestorage import FileStorage

url, file, path, folder = sys.argv[1:]
try:
    one = TusClient(url).uploader(file, chunk_size=1 << 20, metadata={"path": path}, store_url=True,
                                  url_storage=FileStorage(folder + "/urls.json"), upload_checksum=True)
    had = one.offset
    one.upload()
except (TusCommunicationError, TusUploadFailed) as error:
    print(error, file=sys.stderr)
    sys.exit(3)
print(had, one.url)
