"""The Faust shell: the record-batch transport and what runs once per partition."""
