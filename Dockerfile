# The order service and its worker, the reference system under test.
ARG PYTHON_IMAGE=python:3.13-slim
FROM ${PYTHON_IMAGE}

# Distributions lock their own Python against pip; in an environment of our own it is free.
RUN python3 -m venv /opt/perfchaos
ENV PATH=/opt/perfchaos/bin:$PATH PYTHONUNBUFFERED=1

# The packages first: they change seldom.
COPY requirements/service.txt /tmp/
RUN pip install --no-cache-dir --disable-pip-version-check --require-hashes \
        --requirement /tmp/service.txt

COPY perfchaos /opt/system/perfchaos
WORKDIR /opt/system
USER nobody
